#pragma once

#include "runners/task_context.hpp"
#include "tests/support/temp_folder.hpp"

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pn::testing {

/// A task for a runner under test: inputs are local files (each CID is a path), artifacts are
/// copied to a folder, progress and events are kept. One fault knob for each port.
///
/// Owns a folder below the system's temporary one, gone with the object.
class FakeTask final : public runners::TaskContext,
                       public storage::InputPort,
                       public storage::ArtifactPort {
 public:
  explicit FakeTask(Clock& clock, std::size_t threads = 2);

  runners::TaskInfo task;  ///< change it before run()
  std::vector<std::string> progress_seen;
  std::vector<std::string> events_seen;
  std::optional<Error> fetch_fails;
  std::optional<Error> put_fails;
  log::Logger logger;

  void add_input(const std::filesystem::path& file) { task.inputs.emplace_back(file.string()); }
  /// Where artifacts are, under their rel_path.
  [[nodiscard]] std::filesystem::path out() const { return root() / "out"; }
  [[nodiscard]] std::filesystem::path root() const { return root_.path; }
  /// One artifact's bytes; throws when it was not put.
  [[nodiscard]] std::string artifact(const std::string& rel_path) const;

  [[nodiscard]] const runners::TaskInfo& info() const override { return task; }
  storage::InputPort& inputs() override { return *this; }
  storage::ArtifactPort& outputs() override { return *this; }
  [[nodiscard]] const std::filesystem::path& workspace() const override { return workspace_; }
  void progress(std::string json) override { progress_seen.push_back(std::move(json)); }
  void event(std::string json) override { events_seen.push_back(std::move(json)); }
  ThreadPool& compute() override { return pool_; }
  Clock& clock() override { return clock_; }
  [[nodiscard]] const log::Logger& log() const override { return logger; }

  Awaitable<Result<storage::Input>> fetch(Cid cid) override;
  Awaitable<Result<std::vector<storage::Input>>> fetch_all(std::vector<Cid> cids) override;
  Awaitable<Result<storage::Artifact>> put_file(std::string rel_path,
                                                std::filesystem::path file,
                                                storage::PutOptions options) override;
  Awaitable<Result<storage::Artifact>> put_bytes(std::string rel_path,
                                                 std::string bytes,
                                                 storage::PutOptions options) override;
  Awaitable<Result<std::unique_ptr<storage::ArtifactStream>>> open_stream(
      std::string rel_path, storage::PutOptions options) override;
  [[nodiscard]] std::vector<storage::Artifact> artifacts() const override { return artifacts_; }
  Awaitable<void> close() override { co_return; }

 private:
  Result<storage::Artifact> keep(const std::string& rel_path, const storage::PutOptions& options);

  Clock& clock_;
  TempFolder root_;
  std::filesystem::path workspace_;
  std::vector<storage::Artifact> artifacts_;
  ThreadPool pool_;
};

}  // namespace pn::testing
