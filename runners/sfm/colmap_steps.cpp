#include "base/awaitable.hpp"
#include "base/file.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "runners/process.hpp"
#include "runners/sfm/colmap_commands.hpp"
#include "runners/sfm/colmap_output.hpp"
#include "runners/sfm/matches.hpp"
#include "runners/sfm/options.hpp"
#include "runners/sfm/run.hpp"
#include "runners/sfm/sfm.hpp"
#include "runners/task_context.hpp"

#include <algorithm>
#include <cstdint>
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

constexpr std::string_view kMatchList = "matches.txt";

std::string_view unit_of(Stage stage, Matcher matcher) {
  if (stage == Stage::mapping) return "registered";
  if (stage == Stage::matches && matcher == Matcher::exhaustive) return "pairs";
  return "photos";
}

}  // namespace

Awaitable<Result<void>> Run::features(const ColmapPlan& plan) {
  const SteadyTime start = task_.clock().steady_now();
  std::vector<std::string> arguments = feature_arguments(plan);
  const Result<void> done = co_await colmap(Stage::features, std::move(arguments));
  report_.seconds.features += seconds_since(start);
  co_return done;
}

Awaitable<Result<void>> Run::matches(const ColmapPlan& plan) {
  const SteadyTime start = task_.clock().steady_now();
  std::vector<std::string> arguments = match_arguments(plan);
  Result<void> done = co_await colmap(Stage::matches, std::move(arguments));
  if (done) done = co_await drop_still_background(plan);
  report_.seconds.matches += seconds_since(start);
  co_return done;
}

Awaitable<Result<void>> Run::drop_still_background(const ColmapPlan& plan) {
  const fs::path database = task_.workspace() / plan.database;
  const fs::path list = task_.workspace() / kMatchList;
  StillBackground background;
  std::uint64_t rows = 0;
  const auto work = [&]() -> Result<void> {
    const Result<std::uint64_t> counted = count_rows(database);
    if (!counted) return counted.error();
    rows = *counted;
    if (rows > kMostRows) return {};
    const Result<MatchTable> table = read_matches(database);
    if (!table) return table.error();
    background = find_still_background(*table);
    if (!background.found) return {};
    std::error_code ignored;
    fs::remove(list, ignored);
    const Result<UniqueFd> file = create_new(list);
    if (!file) return file.error();
    Result<void> written = write_all(file->get(), to_match_list(*table, background.kept));
    if (!written) return written;
    return clear_matches(database);
  };
  const Result<void> looked = co_await offload(task_.compute(), work);
  if (looked && rows > kMostRows) {
    warn_once("too many matches (" + std::to_string(rows) +
              ") to look for a background that stands still; a smaller max_features or the "
              "sequential matcher makes fewer");
  }
  if (!looked || !background.found) co_return looked;
  log_.add("# the camera stood still: " + std::to_string(background.dropped) + " of " +
           std::to_string(background.matches) + " matches lie on a background that does not move");
  warn_once("the camera stood still while its object moved: the background was left out");
  std::vector<std::string> arguments = import_arguments(plan, std::string(kMatchList));
  co_return co_await colmap(Stage::matches, std::move(arguments));
}

Awaitable<Result<void>> Run::map(const ColmapPlan& plan) {
  const SteadyTime start = task_.clock().steady_now();
  std::vector<std::string> arguments = map_arguments(plan);
  const Result<void> done = co_await colmap(Stage::mapping, std::move(arguments));
  report_.seconds.mapping += seconds_since(start);
  co_return done;
}

Awaitable<Result<void>> Run::colmap(Stage stage, std::vector<std::string> arguments) {
  const std::string program = arguments.front();
  const Matcher matcher =
      program == "sequential_matcher" ? Matcher::sequential : Matcher::exhaustive;
  std::string command = "$ colmap";
  for (const std::string& argument : arguments) command += " " + argument;
  log_.add(command);
  progress_.stage(stage, "colmap " + program);

  ColmapOutput output(stage, photos_.photos.size());
  ProcessSpec spec;
  spec.program = settings_.colmap.string();
  spec.arguments = std::move(arguments);
  spec.environment = colmap_environment(task_.workspace().string(), settings_.threads);
  spec.folder = task_.workspace();
  spec.grace = settings_.grace;
  spec.on_line = [&](std::string_view line) {
    log_.add(line);
    const std::optional<Step> step = output.add(line);
    if (step) progress_.step(stage, *step, unit_of(stage, matcher), "colmap " + program);
  };
  const Result<ProcessExit> exit = co_await launcher_.run(std::move(spec));
  if (!exit) {
    Error error = exit.error();
    if (error.code == "program_missing") {
      error = Error(ErrorKind::internal,
                    "colmap_missing",
                    error.detail + ": COLMAP has gone since this node started");
    }
    co_return error;
  }
  report_.seconds.colmap += static_cast<double>(exit->wall.count()) / 1000;
  log_.add("# exit code " + std::to_string(exit->code));
  for (const ColmapOutput::Refusal& refusal : output.refused()) {
    warn_once("photo " + refusal.photo + ": " + refusal.reason);
  }
  if (output.disk_full()) {
    co_return Error(ErrorKind::full, "disk_full", "no space left on the disk for COLMAP");
  }
  const auto& refused = output.refused();
  if (stage == Stage::features && !exit->signal && refused.size() >= photos_.photos.size()) {
    co_return Error(ErrorKind::rejected,
                    "no_photos",
                    "COLMAP cannot read any of the " + std::to_string(photos_.photos.size()) +
                        " photos; the first, " + refused.front().photo + ": " +
                        refused.front().reason);
  }
  // The mapper answers 1 when it finds no model; that shows in its folder.
  const bool failed = exit->signal || (exit->code != 0 && stage != Stage::mapping) ||
                      (exit->code != 0 && !output.fault().empty());
  if (!failed) co_return Result<void>();
  std::string detail = "colmap " + program;
  if (exit->signal) {
    detail += " was ended by signal " + std::to_string(*exit->signal);
    if (*exit->signal == 9) detail += " (out of memory?)";
  } else {
    detail += " ended with exit code " + std::to_string(exit->code);
  }
  if (!output.fault().empty()) detail += ": " + output.fault();
  co_return Error(ErrorKind::internal, "colmap_failed", detail + "; log.txt has its output");
}

void Run::warn_once(std::string warning) {
  std::vector<std::string>& warnings = report_.warnings;
  if (std::find(warnings.begin(), warnings.end(), warning) == warnings.end()) {
    warnings.push_back(std::move(warning));
  }
}

}  // namespace pn::runners::sfm
