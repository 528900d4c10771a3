#include "runners/sfm/progress.hpp"

#include "base/json.hpp"
#include "runners/sfm/colmap_output.hpp"
#include "runners/task_context.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>

#include <nlohmann/json.hpp>

namespace pn::runners::sfm {
namespace {

using namespace std::chrono_literals;

/// Where each stage ends, in percent of the whole: as the demo's photos take on two cores.
constexpr std::array<int, 6> kEnds{0, 25, 65, 95, 96, 100};

}  // namespace

void Progress::stage(Stage stage, std::string_view message) { tell(stage, {}, "", message); }

void Progress::step(Stage stage, Step step, std::string_view unit, std::string_view message) {
  const bool due = last_stage_ != stage || step.done >= step.total ||
                   task_.clock().steady_now() - last_told_ >= 200ms;
  if (due) tell(stage, step, unit, message);
}

void Progress::tell(Stage stage, Step step, std::string_view unit, std::string_view message) {
  last_stage_ = stage;
  last_told_ = task_.clock().steady_now();
  const auto index = static_cast<std::size_t>(stage);
  const double share =
      step.total == 0
          ? 0
          : std::min(1.0, static_cast<double>(step.done) / static_cast<double>(step.total));
  const double within = kEnds.at(index) + share * (kEnds.at(index + 1) - kEnds.at(index));
  // Only a second try goes back: a stage may run several programs.
  if (stage == Stage::features && step.total == 0) pct_ = 0;
  pct_ = std::max(pct_, static_cast<int>(within));
  Json out = {{"stage", name(stage)}, {"pct", pct_}};
  if (step.total > 0) {
    out["done"] = step.done;
    out["total"] = step.total;
    out["unit"] = unit;
  }
  out["message"] = message;
  task_.progress(dump_json(out));
}

}  // namespace pn::runners::sfm
