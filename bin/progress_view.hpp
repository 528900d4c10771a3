#pragma once

#include "base/time.hpp"
#include "bin/jobs.hpp"
#include "bin/terminal.hpp"

#include <map>
#include <optional>
#include <string>

namespace pn::bin {

/// "5/10 photos", "52 %", "": a progress's figures.
std::string figures(const TaskProgress& progress);

/// 0 to 1; nothing when the progress tells no share.
std::optional<double> share(const TaskProgress& progress);

/// A job as it runs, for people: one line that is redrawn on a terminal, and in a pipe a line for
/// each change of a status or a stage.
class ProgressView {
 public:
  explicit ProgressView(Terminal terminal) : terminal_(terminal) {}

  /// What to write now; often nothing in a pipe.
  std::string update(const JobDetails& details, Millis elapsed);
  /// What to write before anything else is: the line is taken away.
  std::string clear();

 private:
  [[nodiscard]] std::string bar_line(const JobDetails& details, Millis elapsed) const;
  std::string changes(const JobDetails& details);

  Terminal terminal_;
  bool drawn_ = false;
  std::map<std::string, std::string> shown_;  // by task: status and stage
};

}  // namespace pn::bin
