#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pn::runners::sfm {

/// `artifacts` is "export" to clients.
enum class Stage { features, matches, mapping, filter, artifacts };
std::string_view name(Stage stage);

/// How far a stage is, in its own unit.
struct Step {
  std::size_t done = 0;
  std::size_t total = 0;

  friend bool operator==(const Step&, const Step&) = default;
};

/// Reads what one COLMAP program prints, line by line: its progress, the photos it cannot read, and
/// what went wrong. Its exit code alone says too little: `feature_extractor` ends with 0 when it
/// read no photo at all.
class ColmapOutput {
 public:
  /// `photos`: how many there are, for the totals that COLMAP does not tell.
  ColmapOutput(Stage stage, std::size_t photos) : stage_(stage), photos_(photos) {}

  /// The step this line tells, if any.
  std::optional<Step> add(std::string_view line);

  /// Each photo that COLMAP refused, with its words: "x.jpg: Failed to read image file format."
  struct Refusal {
    std::string photo;
    std::string reason;

    friend bool operator==(const Refusal&, const Refusal&) = default;
  };
  [[nodiscard]] const std::vector<Refusal>& refused() const { return refused_; }
  /// The first line that told a fault of the program itself; empty when there was none.
  [[nodiscard]] const std::string& fault() const { return fault_; }
  [[nodiscard]] bool disk_full() const { return disk_full_; }

 private:
  void look_for_fault(std::string_view line);
  [[nodiscard]] std::optional<Step> matching(std::string_view line) const;

  Stage stage_;
  std::size_t photos_;
  std::string photo_;  ///< the one that the lines are about
  std::vector<Refusal> refused_;
  std::string fault_;
  bool disk_full_ = false;
};

}  // namespace pn::runners::sfm
