#include "runners/noop/noop.hpp"

#include "base/awaitable.hpp"
#include "base/file.hpp"
#include "base/json.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "runners/runner.hpp"
#include "runners/task_context.hpp"
#include "storage/ports.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace pn::runners {
namespace {

constexpr double kMaxSleepSecs = 7 * 24 * 3600;
constexpr std::int64_t kMaxOutputBytes = std::int64_t{1} << 40;
/// Between two looks at cancellation while the artifact is written.
constexpr std::uint64_t kSlice = std::uint64_t{64} << 20;

struct NoopMeta {
  std::optional<double> sleep_secs;
  std::int64_t output_bytes = -1;  ///< none
  std::string fail;
};

Result<NoopMeta> parse_meta(const std::string& text) {
  const Result<Json> json = parse_json(text);
  if (!json) return within("meta", json.error());
  JsonFields fields(*json, "meta");
  NoopMeta out;
  out.sleep_secs = fields.number("sleep_secs");
  out.output_bytes = fields.integer("output_bytes").value_or(-1);
  out.fail = fields.string("fail").value_or("");
  if (out.sleep_secs && !(*out.sleep_secs >= 0 && *out.sleep_secs <= kMaxSleepSecs)) {
    fields.fault("sleep_secs", "is not within 0 to 604800");
  }
  if (out.output_bytes < -1 || out.output_bytes > kMaxOutputBytes) {
    fields.fault("output_bytes", "is not within 0 to 1099511627776");
  }
  const Result<void> done = fields.done();
  if (!done) return Error(ErrorKind::rejected, "bad_meta", done.error().detail);
  return out;
}

/// Bytes [from, to) of noop.bin: each 4 KiB block is filled with its own number, so that a piece
/// that went to the wrong place shows.
Result<void> write_range(int fd, std::uint64_t from, std::uint64_t to) {
  constexpr std::size_t kBlock = 4096;
  std::string chunk;
  while (from < to) {
    chunk.clear();
    while (chunk.size() < 64 * kBlock && from < to) {
      const std::uint64_t number = from / kBlock;
      std::array<char, 8> word{};
      for (std::size_t i = 0; i < word.size(); ++i) {
        word[i] = static_cast<char>(number >> (8 * i) & 0xff);
      }
      const std::size_t length =
          static_cast<std::size_t>(std::min<std::uint64_t>(kBlock, to - from));
      for (std::size_t i = 0; i < length; i += word.size()) {
        chunk.append(word.data(), std::min(word.size(), length - i));
      }
      from += length;
    }
    const Result<void> written = write_all(fd, chunk);
    if (!written) return written;
  }
  return {};
}

class NoopRunner final : public Runner {
 public:
  explicit NoopRunner(NoopOptions options) : options_(options) {}

  Awaitable<Result<void>> run(TaskContext& task) override {
    const Result<NoopMeta> meta = parse_meta(task.info().meta_json);
    if (!meta) co_return meta.error();

    const Result<std::vector<storage::Input>> inputs =
        co_await task.inputs().fetch_all(task.info().inputs);
    if (!inputs) co_return inputs.error();
    if (meta->output_bytes >= 0) {
      const auto size = static_cast<std::uint64_t>(meta->output_bytes);
      const Result<void> put = co_await put_output(task, size);
      if (!put) co_return put;
    }
    const auto wanted = meta->sleep_secs ? std::chrono::duration<double>(*meta->sleep_secs)
                                         : std::chrono::duration<double>(options_.sleep);
    co_await sleep(task, wanted);
    if (!meta->fail.empty()) {
      co_return Error(ErrorKind::internal, meta->fail, "the task's meta asked for this failure");
    }
    co_return Result<void>();
  }

 private:
  static Awaitable<Result<void>> put_output(TaskContext& task, std::uint64_t size) {
    const std::filesystem::path path = task.workspace() / "noop.bin";
    Result<UniqueFd> file = create_new(path);
    if (!file) co_return std::move(file).error();
    for (std::uint64_t from = 0; from < size; from += kSlice) {
      const int fd = file->get();
      const std::uint64_t to = std::min(size, from + kSlice);
      const auto work = [fd, from, to] { return write_range(fd, from, to); };
      const Result<void> written = co_await offload(task.compute(), work);
      if (!written) co_return written;
    }
    file->reset();
    const storage::PutOptions plain{};
    const Result<storage::Artifact> put = co_await task.outputs().put_file("noop.bin", path, plain);
    if (!put) co_return put.error();
    co_return Result<void>();
  }

  /// In quarters, each told: enough to be seen, too few to make a heartbeat each second.
  static Awaitable<void> sleep(TaskContext& task, std::chrono::duration<double> wanted) {
    const auto quarter = std::chrono::duration_cast<std::chrono::nanoseconds>(wanted / 4);
    for (int pct = 0; pct < 100; pct += 25) {
      if (quarter.count() == 0) break;
      task.progress(R"({"stage":"sleep","pct":)" + std::to_string(pct) + "}");
      co_await task.clock().sleep_for(quarter);
    }
    task.progress(R"({"stage":"done","pct":100})");
  }

  const NoopOptions options_;
};

}  // namespace

std::unique_ptr<Runner> make_noop_runner(NoopOptions options) {
  return std::make_unique<NoopRunner>(options);
}

}  // namespace pn::runners
