#include "tests/support/fake_task.hpp"

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/file.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "storage/ports.hpp"
#include "tests/support/put_stream.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace pn::testing {

namespace fs = std::filesystem;

FakeTask::FakeTask(Clock& clock, std::size_t threads)
    : clock_(clock), workspace_(root() / "work"), pool_("fake-compute", threads) {
  fs::create_directories(workspace_);
  fs::create_directories(out());
  task.id = TaskId("task-1");
  task.job = JobId("job-1");
}

std::string FakeTask::artifact(const std::string& rel_path) const {
  Result<std::string> bytes = read_file(out() / rel_path, std::uint64_t{1} << 30);
  if (!bytes) throw std::runtime_error(bytes.error().detail);
  return std::move(bytes).value();
}

Awaitable<Result<storage::Input>> FakeTask::fetch(Cid cid) {
  if (fetch_fails) co_return *fetch_fails;
  const fs::path from = cid.str();
  std::error_code failed;
  fs::create_directories(workspace_ / "inputs", failed);
  const fs::path to = workspace_ / "inputs" / from.filename();
  fs::copy_file(from, to, fs::copy_options::overwrite_existing, failed);
  if (failed) co_return Error(ErrorKind::not_found, "input_missing", from.string());
  storage::InputFile file;
  file.path = to;
  file.id = DataId("id-of-" + from.filename().string());
  file.name = from.filename().string();
  file.size = fs::file_size(to);
  storage::Input input;
  input.cid = std::move(cid);
  input.files.push_back(std::move(file));
  co_return input;
}

Awaitable<Result<std::vector<storage::Input>>> FakeTask::fetch_all(std::vector<Cid> cids) {
  std::vector<storage::Input> out;
  for (const Cid& cid : cids) {
    Result<storage::Input> input = co_await fetch(cid);
    if (!input) co_return std::move(input).error();
    out.push_back(*std::move(input));
  }
  co_return out;
}

Awaitable<Result<storage::Artifact>> FakeTask::put_file(std::string rel_path,
                                                        fs::path file,
                                                        storage::PutOptions options) {
  if (put_fails) co_return *put_fails;
  fs::create_directories((out() / rel_path).parent_path());
  fs::copy_file(file, out() / rel_path, fs::copy_options::overwrite_existing);
  co_return keep(rel_path, options);
}

Awaitable<Result<storage::Artifact>> FakeTask::put_bytes(std::string rel_path,
                                                         std::string bytes,
                                                         storage::PutOptions options) {
  if (put_fails) co_return *put_fails;
  fs::create_directories((out() / rel_path).parent_path());
  const Result<void> written = write_file(out() / rel_path, bytes);
  if (!written) co_return written.error();
  co_return keep(rel_path, options);
}

Awaitable<Result<std::unique_ptr<storage::ArtifactStream>>> FakeTask::open_stream(
    std::string rel_path, storage::PutOptions options) {
  co_return PutStream::open(*this, std::move(rel_path), std::move(options));
}

Result<storage::Artifact> FakeTask::keep(const std::string& rel_path,
                                         const storage::PutOptions& options) {
  storage::Artifact artifact{rel_path, options.name, options.data_type, DataId("id-" + rel_path)};
  for (const storage::Artifact& before : artifacts_) {
    if (before.logical_path == rel_path) return artifact;
  }
  artifacts_.push_back(artifact);
  return artifact;
}

}  // namespace pn::testing
