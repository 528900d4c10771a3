#pragma once

#include "base/awaitable.hpp"
#include "base/result.hpp"
#include "runners/sfm/colmap_commands.hpp"
#include "runners/sfm/colmap_model.hpp"
#include "runners/sfm/log_text.hpp"
#include "runners/sfm/options.hpp"
#include "runners/sfm/photos.hpp"
#include "runners/sfm/progress.hpp"
#include "runners/sfm/report.hpp"
#include "runners/sfm/sfm.hpp"

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace pn::runners {
class TaskContext;
}

namespace pn::runners::sfm {

/// One task, from its inputs to its artifacts. Lives in the frame of the runner's run(); the task's
/// loop only. Reads as a list of stages; run.cpp holds the flow, colmap_steps.cpp COLMAP's
/// programs, deliver.cpp what is made at the end.
class Run final {
 public:
  Run(const SfmSettings& settings, ProcessLauncher& launcher, TaskContext& task);

  Awaitable<Result<void>> run();

 private:
  /// The best that was found so far, and what is wrong with it.
  struct Outcome {
    std::optional<Model> model;
    std::optional<Error> shortfall;
    Profile profile = Profile::standard;
  };
  /// Artifacts written into the workspace's out/, ready to be put.
  struct Encoded {
    std::vector<std::string> rel_paths;
    std::optional<Error> error;
  };

  Awaitable<Result<void>> gather();
  [[nodiscard]] Result<void> check_sizes() const;
  Awaitable<Result<Outcome>> attempt(Profile profile);
  Awaitable<Result<void>> features(const ColmapPlan& plan);
  Awaitable<Result<void>> matches(const ColmapPlan& plan);
  Awaitable<Result<void>> drop_still_background(const ColmapPlan& plan);
  Awaitable<Result<void>> map(const ColmapPlan& plan);
  Awaitable<Result<std::optional<Model>>> best_model(const ColmapPlan& plan);
  Awaitable<void> filter_model(Model& model);
  [[nodiscard]] std::optional<Error> shortfall_of(const std::optional<Model>& model) const;
  static bool better(const Outcome& a, const Outcome& b);

  /// One COLMAP program; its output goes to the log and the progress. An error when it says that it
  /// failed, or that it could read no photo, whatever its exit code.
  Awaitable<Result<void>> colmap(Stage stage, std::vector<std::string> arguments);

  void warn_once(std::string warning);  ///< in the report; a second try says the same

  Awaitable<Result<void>> deliver(const Outcome& outcome);
  Awaitable<void> encode(const Model& model, Encoded& out);
  Awaitable<void> picture(const Model& model, Encoded& out);
  Awaitable<Result<void>> write_and_put(std::string rel_path, std::string bytes);
  Awaitable<Result<void>> put(std::string rel_path);
  [[nodiscard]] std::filesystem::path out() const;
  [[nodiscard]] std::string caption(const Model& model) const;
  [[nodiscard]] std::size_t photo_count() const {
    return photos_.photos.size() + photos_.unreadable.size();
  }
  [[nodiscard]] double seconds_since(SteadyTime start) const;

  const SfmSettings& settings_;
  ProcessLauncher& launcher_;
  TaskContext& task_;
  Progress progress_;
  LogText log_;
  Options options_;
  PhotoSet photos_;
  Report report_;
  SteadyTime started_;
};

}  // namespace pn::runners::sfm
