#pragma once

#include "base/clock.hpp"
#include "runners/sfm/colmap_output.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace pn::runners {
class TaskContext;
}

namespace pn::runners::sfm {

/// Tells a task how far it is, over all stages, in the JSON of README.md. At most five times a
/// second within a stage: COLMAP can be quicker than anybody reads.
class Progress {
 public:
  explicit Progress(TaskContext& task) : task_(task) {}

  void stage(Stage stage, std::string_view message);
  void step(Stage stage, Step step, std::string_view unit, std::string_view message);

 private:
  void tell(Stage stage, Step step, std::string_view unit, std::string_view message);

  TaskContext& task_;
  std::optional<Stage> last_stage_;
  SteadyTime last_told_{};
  int pct_ = 0;
};

}  // namespace pn::runners::sfm
