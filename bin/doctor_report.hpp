#pragma once

#include "base/redactor.hpp"
#include "bin/terminal.hpp"

#include <span>
#include <string>
#include <string_view>
#include <vector>

/// What `posenode doctor` found, and how it is said.
namespace pn::bin::doctor {

enum class Verdict { ok, warn, fail, skipped };

/// Whose matter a failure is: it decides the exit code.
enum class Blame { configuration, sign_in, temporary };

/// One check: what was tried, what came back, what to do. Never holds a secret.
struct Finding {
  std::string check;  ///< one of checks()
  Verdict verdict = Verdict::ok;
  std::string tried;
  std::string got;
  std::vector<std::string> remedies{};  ///< one at least for every failure
  Blame blame = Blame::temporary;       ///< of a failure
};

Finding fine(std::string_view check, std::string tried, std::string got);
/// It works and should be mended.
Finding doubt(std::string_view check, std::string tried, std::string got, std::string remedy);
Finding failure(std::string_view check,
                Blame blame,
                std::string tried,
                std::string got,
                std::vector<std::string> remedies);
/// `why` it was not tried.
Finding skipped(std::string_view check, std::string why);

struct Check {
  std::string_view name;
  std::string_view what;
};
/// All of them, in the order in which they are shown. docs/reference/doctor.md lists the same.
std::span<const Check> checks();

/// Gathers findings, in any order. A check that was never reported counts as skipped.
class Report {
 public:
  /// Takes secrets out of what it is given; null: out of nothing.
  explicit Report(const Redactor* redactor = nullptr) : redactor_(redactor) {}

  void add(Finding finding);
  /// One for each check, in the order of checks().
  [[nodiscard]] std::vector<Finding> findings() const;

  /// 0; or of the failures 2 before 3 before 75: what must be mended first.
  [[nodiscard]] int exit_code() const;
  /// For people: a line a check, its remedies below it, and how it stands at the end.
  [[nodiscard]] std::string text(const Terminal& terminal) const;
  /// {"ok":true,"exit_code":0,"checks":[{"check","verdict","tried","got","remedies":[]}]}
  [[nodiscard]] std::string json() const;

 private:
  const Redactor* redactor_;
  std::vector<Finding> findings_;
};

}  // namespace pn::bin::doctor
