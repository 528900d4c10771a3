#include "runners/sfm/run.hpp"

#include "base/awaitable.hpp"
#include "base/file.hpp"
#include "base/log.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "runners/process.hpp"
#include "runners/sfm/colmap_commands.hpp"
#include "runners/sfm/colmap_model.hpp"
#include "runners/sfm/colmap_output.hpp"
#include "runners/sfm/filter.hpp"
#include "runners/sfm/options.hpp"
#include "runners/sfm/photos.hpp"
#include "runners/sfm/sfm.hpp"
#include "runners/task_context.hpp"
#include "storage/ports.hpp"

#include <atomic>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace pn::runners::sfm {
namespace {

namespace fs = std::filesystem;

/// sparse/0, sparse/1 ...: the mapper's models, of which the largest counts.
Result<std::optional<Model>> read_best(const fs::path& folder) {
  std::optional<Model> best;
  std::error_code failed;
  for (fs::directory_iterator at(folder, failed), end; !failed && at != end; at.increment(failed)) {
    Result<Model> model = read_model(at->path());
    if (!model && model.error().kind == ErrorKind::not_found) continue;
    if (!model) return std::move(model).error();
    const auto size = [](const Model& m) { return std::pair(m.views.size(), m.points.size()); };
    if (!best || size(*model) > size(*best)) best = std::move(model).value();
  }
  if (failed) return from_errno(failed.value(), "cannot list COLMAP's models");
  return best;
}

}  // namespace

Run::Run(const SfmSettings& settings, ProcessLauncher& launcher, TaskContext& task)
    : settings_(settings),
      launcher_(launcher),
      task_(task),
      progress_(task),
      started_(task.clock().steady_now()) {}

Awaitable<Result<void>> Run::run() {
  Result<Options> options = parse_options(task_.info().meta_json);
  if (!options) co_return std::move(options).error();
  options_ = std::move(options).value();
  const Result<void> gathered = co_await gather();
  if (!gathered) co_return gathered;
  task_.log().info("sfm.started",
                   {{"photos", photos_.photos.size()}, {"profile", name(options_.profile)}});

  Outcome best;
  std::optional<Error> failure;
  for (std::optional<Profile> profile = options_.profile; profile && report_.attempts < 2;
       profile = finer(*profile)) {
    ++report_.attempts;
    Result<Outcome> outcome = co_await attempt(*profile);
    if (!outcome) {
      failure = std::move(outcome).error();
      break;
    }
    if (report_.attempts == 1 || better(*outcome, best)) best = std::move(outcome).value();
    failure = best.shortfall;
    if (!failure) break;
    // Finer settings did not help: that is how the photos are.
    if (report_.attempts > 1) failure->kind = ErrorKind::rejected;
    task_.log().warn("sfm.attempt_failed",
                     {{"profile", name(*profile)}, {"code", failure->code}, log::field(*failure)});
    report_.warnings.push_back("with profile " + std::string(name(*profile)) + ": " +
                               failure->detail);
  }

  const Result<void> delivered = co_await deliver(best);
  if (failure) co_return *failure;
  co_return delivered;
}

Awaitable<Result<void>> Run::gather() {
  progress_.stage(Stage::features, "fetching the photos");
  Result<std::vector<storage::Input>> inputs =
      co_await task_.inputs().fetch_all(task_.info().inputs);
  if (!inputs) co_return std::move(inputs).error();
  std::vector<storage::InputFile> files;
  for (storage::Input& input : *inputs) {
    for (storage::InputFile& file : input.files) files.push_back(std::move(file));
  }
  const fs::path folder = task_.workspace() / "photos";
  const auto work = [&files, &folder](const std::atomic<bool>& stop) {
    return collect_photos(files, folder, stop);
  };
  Result<PhotoSet> photos = co_await offload_stoppable(task_.compute(), work);
  if (!photos) co_return std::move(photos).error();
  photos_ = std::move(photos).value();
  report_.photos = photo_count();
  report_.warnings = photos_.warnings;
  report_.intrinsics_refined = !options_.intrinsics;
  co_return check_sizes();
}

Result<void> Run::check_sizes() const {
  if (!options_.intrinsics || options_.intrinsics->width == 0) return {};
  const Intrinsics& known = *options_.intrinsics;
  for (const Photo& photo : photos_.photos) {
    if (photo.info.width == known.width && photo.info.height == known.height) continue;
    const auto size = [](int width, int height) {
      return std::to_string(width) + "x" + std::to_string(height);
    };
    return Error(ErrorKind::rejected,
                 "photo_size",
                 "photo " + photo.name + " is " + size(photo.info.width, photo.info.height) +
                     ", but the task's intrinsics are for " + size(known.width, known.height));
  }
  return {};
}

Awaitable<Result<Run::Outcome>> Run::attempt(Profile profile) {
  const std::string folder = "attempt" + std::to_string(report_.attempts);
  const Result<void> made = make_folders(task_.workspace() / folder / "sparse", 0700);
  if (!made) co_return made.error();
  ColmapPlan plan;
  plan.database = folder + "/database.db";
  plan.photos = "photos";
  plan.models = folder + "/sparse";
  plan.settings = settings_of(options_, profile);
  plan.intrinsics = options_.intrinsics;
  plan.one_camera = photos_.one_size();
  plan.matcher = resolve(options_.matcher, photos_.photos.size(), report_.attempts);
  plan.overlap = options_.overlap;
  plan.photo_count = photos_.photos.size();
  plan.threads = settings_.threads;

  Result<void> done = co_await features(plan);
  if (done) done = co_await matches(plan);
  if (done) done = co_await map(plan);
  if (!done) co_return std::move(done).error();
  Result<std::optional<Model>> model = co_await best_model(plan);
  if (!model) co_return std::move(model).error();
  Outcome out;
  out.model = std::move(model).value();
  out.profile = profile;
  if (out.model) co_await filter_model(*out.model);
  out.shortfall = shortfall_of(out.model);
  co_return out;
}

Awaitable<Result<std::optional<Model>>> Run::best_model(const ColmapPlan& plan) {
  const fs::path folder = task_.workspace() / plan.models;
  const auto work = [&folder] { return read_best(folder); };
  co_return co_await offload(task_.compute(), work);
}

Awaitable<void> Run::filter_model(Model& model) {
  const SteadyTime start = task_.clock().steady_now();
  progress_.stage(Stage::filter, "dropping points that cannot be trusted");
  const auto work = [&model] { return filter(model, FilterLimits()); };
  const FilterCounts counts = co_await offload(task_.compute(), work);
  log_.add("# filter: " + std::to_string(counts.before) + " points, dropped " +
           std::to_string(counts.badly_seen) + " badly seen, " + std::to_string(counts.isolated) +
           " isolated");
  report_.seconds.filter += seconds_since(start);
}

std::optional<Error> Run::shortfall_of(const std::optional<Model>& model) const {
  const std::string photos = std::to_string(photo_count()) + " photos";
  if (!model || model->views.empty() || model->points.empty()) {
    return Error(ErrorKind::internal,
                 "no_model",
                 "COLMAP found no reconstruction in " + photos +
                     ": they need to overlap, and to be taken from different places");
  }
  const auto registered = static_cast<double>(model->views.size());
  if (registered < options_.min_registered * static_cast<double>(photo_count())) {
    return Error(ErrorKind::internal,
                 "too_few_registered",
                 "only " + std::to_string(model->views.size()) + " of " + photos +
                     " were registered, the task wants at least " +
                     std::to_string(std::lround(options_.min_registered * 100)) + " %");
  }
  const double error = model->mean_error_px();
  if (error > options_.max_error_px) {
    const auto two_digits = [](double value) {
      const std::string text = std::to_string(std::round(value * 100) / 100);
      return text.substr(0, text.find('.') + 3);
    };
    return Error(ErrorKind::internal,
                 "error_too_large",
                 "the mean reprojection error is " + two_digits(error) +
                     " px, the task wants at most " + two_digits(options_.max_error_px) + " px");
  }
  return std::nullopt;
}

bool Run::better(const Outcome& a, const Outcome& b) {
  if (!a.shortfall || !b.shortfall) return !a.shortfall;
  if (!a.model || !b.model) return a.model.has_value();
  if (a.model->views.size() != b.model->views.size()) {
    return a.model->views.size() > b.model->views.size();
  }
  return a.model->mean_error_px() < b.model->mean_error_px();
}

double Run::seconds_since(SteadyTime start) const {
  return std::chrono::duration<double>(task_.clock().steady_now() - start).count();
}

}  // namespace pn::runners::sfm
