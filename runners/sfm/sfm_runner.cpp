#include "base/awaitable.hpp"
#include "base/result.hpp"
#include "runners/process.hpp"
#include "runners/process_spawn.hpp"
#include "runners/runner.hpp"
#include "runners/sfm/run.hpp"
#include "runners/sfm/sfm.hpp"

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace pn::runners::sfm {
namespace {

class SfmRunner final : public Runner {
 public:
  SfmRunner(SfmSettings settings, ProcessLauncher& launcher)
      : settings_(std::move(settings)), launcher_(launcher) {}

  Awaitable<Result<void>> run(TaskContext& task) override {
    Run one(settings_, launcher_, task);
    co_return co_await one.run();
  }

 private:
  const SfmSettings settings_;
  ProcessLauncher& launcher_;
};

}  // namespace

Result<std::filesystem::path> find_colmap(const std::string& setting,
                                          std::string_view search_path) {
  Result<std::filesystem::path> found = find_program(setting, search_path);
  if (found) return found;
  return Error(ErrorKind::not_found,
               "colmap_missing",
               found.error().detail +
                   ": install the Debian package colmap, or say in SFM_COLMAP where it is");
}

std::unique_ptr<Runner> make_sfm_runner(SfmSettings settings, ProcessLauncher& launcher) {
  return std::make_unique<SfmRunner>(std::move(settings), launcher);
}

}  // namespace pn::runners::sfm
