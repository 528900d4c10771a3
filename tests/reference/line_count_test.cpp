// The runner of docs/runners.md, whole, and its test.

#include "base/awaitable.hpp"
#include "base/file.hpp"
#include "base/ids.hpp"
#include "base/json.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "runners/runner.hpp"
#include "runners/task_context.hpp"
#include "storage/ports.hpp"
#include "tests/support/fake_task.hpp"
#include "tests/support/test_loop.hpp"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <ios>
#include <string>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

namespace pn::runners {
namespace {

constexpr std::uint64_t kLimit = std::uint64_t{64} << 20;

/// /text/line-count/v1: counts the lines of its inputs into `counts.json`.
class LineCountRunner final : public Runner {
 public:
  Awaitable<Result<void>> run(TaskContext& task) override {
    Json counts = Json::object();
    for (const Cid& cid : task.info().inputs) {
      const Result<storage::Input> input = co_await task.inputs().fetch(cid);
      if (!input) co_return input.error();

      const storage::InputFile& file = input->files.front();
      const auto work = [&file] { return count(file); };
      const Result<std::int64_t> lines = co_await offload(task.compute(), work);
      if (!lines) co_return lines.error();
      counts[file.name] = *lines;
      task.progress(dump_json({{"stage", "count"}, {"done", counts.size()}, {"unit", "files"}}));
    }
    const storage::PutOptions plain{};
    const Result<storage::Artifact> put =
        co_await task.outputs().put_bytes("counts.json", dump_json(counts), plain);
    if (!put) co_return put.error();
    co_return Result<void>();
  }

 private:
  static Result<std::int64_t> count(const storage::InputFile& file) {
    const Result<std::string> text = read_file(file.path, kLimit);
    if (!text) return text.error();
    if (text->find('\0') != std::string::npos) {
      return Error(ErrorKind::rejected, "not_text", file.name + " holds zero bytes: it is no text");
    }
    return std::count(text->begin(), text->end(), '\n');
  }
};

std::filesystem::path input(const testing::FakeTask& task, const std::string& bytes) {
  const std::filesystem::path path = task.root() / "input.txt";
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}

}  // namespace

TEST_CASE("the documentation's runner counts lines, and refuses what is no text", "[reference]") {
  testing::TestLoop loop;
  testing::FakeTask task(loop.clock);
  LineCountRunner runner;

  SECTION("text") {
    task.add_input(input(task, "a\nb\n"));
    const Result<void> result = loop.run(runner.run(task));
    REQUIRE(result.ok());
    CHECK(task.artifact("counts.json").find(":2}") != std::string::npos);
    CHECK(task.progress_seen.size() == 1);
  }
  SECTION("no text") {
    task.add_input(input(task, std::string("a\0b", 3)));
    Result<void> result = loop.run(runner.run(task));
    REQUIRE_FALSE(result.ok());
    CHECK(result.error().code == "not_text");
    CHECK(task.artifacts().empty());
  }
}

}  // namespace pn::runners
