#pragma once

#include "base/result.hpp"
#include "http/multipart.hpp"
#include "storage/download_folder.hpp"
#include "storage/incoming_file.hpp"
#include "storage/input_budget.hpp"
#include "storage/listing.hpp"
#include "storage/ports.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pn::storage {

/// What becomes of parts that no list named.
enum class Unlisted { keep, refuse };

/// Writes a multipart answer of a domain server to disk as it comes: each part to its place in the
/// download's folder, checked against its size, what the list says of it, and its digest where it
/// carries one. Every call blocks.
class PartsWriter final {
 public:
  /// What was asked for.
  struct Order {
    std::vector<std::size_t> asked{};  ///< of the listing
    Unlisted unlisted = Unlisted::keep;
  };
  /// What the answer's head says of its body; nothing: it does not.
  struct Framing {
    std::string boundary;
    std::optional<std::uint64_t> length{};  ///< in bytes
    std::optional<std::uint64_t> parts{};   ///< how many there are
  };
  /// One part's file, and whether it is the list's: entry `listed`.
  struct Part {
    InputFile file;
    std::optional<std::size_t> listed{};
  };
  struct Half {
    Part part;
    IncomingFile bytes;
  };

  /// All outlive it, and the listing does not change meanwhile. What the listing does not name is
  /// reserved from `budget`.
  PartsWriter(DownloadFolder& folder,
              const Listing& listing,
              InputBudget& budget,
              Order order,
              const Framing& framing);

  /// Kind `corrupt` when the body contradicts itself; `restart`, code "item_changed", when a part
  /// is not of the size that the list says, "parts_unlisted" for a part to be refused; `full`, code
  /// "task_disk_full".
  Result<void> consume(std::string_view bytes);
  /// The body is over, if not at its end: names what is whole. Kind `corrupt`, code
  /// "multipart_truncated", when it ended early; `retry`, code "digest_mismatch", when a part was
  /// dropped for that; `not_found` when there was no part.
  Result<void> finish();

  // After finish().
  [[nodiscard]] std::vector<Part> take_parts() { return std::move(parts_); }
  /// The part that was under way.
  [[nodiscard]] std::optional<Half> take_half();
  /// How much of the budget was, once.
  [[nodiscard]] std::uint64_t take_reserved() { return std::exchange(reserved_, 0); }
  /// No part can have been missed that no list names: none was dropped, and the answer was read to
  /// its end, or broke before its first part, or its head shows that it has no others.
  [[nodiscard]] bool accounted() const;

 private:
  Result<void> begin_part();
  Result<void> end_part();
  [[nodiscard]] bool holds_only_asked() const;

  DownloadFolder& folder_;
  const Listing& listing_;
  InputBudget& budget_;
  const Order order_;
  const Framing framing_;
  http::MultipartReader reader_;
  bool begun_ = false;      ///< a part has
  bool only_asked_ = true;  ///< as far as the first part and the head tell
  bool lost_unlisted_ = false;
  Part current_;
  std::optional<IncomingFile> file_;  ///< of current_
  std::vector<Part> parts_;           ///< whole
  std::set<std::size_t> seen_;        ///< of the listing
  std::uint64_t reserved_ = 0;
  std::optional<Error> dropped_;  ///< why a part is not among parts_
};

}  // namespace pn::storage
