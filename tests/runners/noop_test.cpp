#include "runners/noop/noop.hpp"

#include "base/awaitable.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "runners/runner.hpp"
#include "runners/task_context.hpp"
#include "tests/support/fake_task.hpp"
#include "tests/support/test_loop.hpp"

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <utility>

#include <catch2/catch.hpp>

namespace pn::runners {
namespace {

using namespace std::chrono_literals;
using testing::FakeTask;
using testing::Started;
using testing::TestLoop;

struct Run {
  std::optional<Result<void>> result;
};

Awaitable<void> run_into(Runner& runner, TaskContext& task, Run& out) {
  Result<void> result = co_await runner.run(task);
  out.result = std::move(result);
}

}  // namespace

TEST_CASE("noop: sleeps as long as told, telling its progress", "[runners]") {
  TestLoop loop;
  FakeTask task(loop.clock);
  const auto runner = make_noop_runner({.sleep = 5s});
  const auto [name, meta, expected] = GENERATE(table<std::string, std::string, Millis>({
      {"the setting", "{}", 5000ms},
      {"the task's meta", R"({"sleep_secs":2.5})", 2500ms},
      {"a meta for another runner", R"({"profile":"fast"})", 5000ms},
  }));
  INFO(name);
  task.task.meta_json = meta;
  Run run;
  Started started(loop, run_into(*runner, task, run));
  loop.advance(expected - 1ms);
  CHECK_FALSE(run.result);
  CHECK(task.progress_seen.size() == 4);
  loop.advance(1ms);
  REQUIRE(run.result);
  CHECK(run.result->ok());
  CHECK(task.progress_seen.back() == R"({"stage":"done","pct":100})");
}

TEST_CASE("noop: cancellation ends the sleep at once", "[runners]") {
  TestLoop loop;
  FakeTask task(loop.clock);
  const auto runner = make_noop_runner({.sleep = 1h});
  Run run;
  Started started(loop, run_into(*runner, task, run));
  loop.advance(10s);
  CHECK_FALSE(started.done());
  started.cancel();
  loop.poll();
  CHECK(started.done());
  CHECK(started.failed());
  CHECK_FALSE(run.result);
}

TEST_CASE("noop: makes an artifact of the asked size", "[runners][mt]") {
  TestLoop loop;
  FakeTask task(loop.clock);
  const auto runner = make_noop_runner({.sleep = 0ms});
  const auto size =
      GENERATE(std::size_t{0}, std::size_t{1}, std::size_t{4096 + 3}, std::size_t{300'000});
  task.task.meta_json = R"({"output_bytes":)" + std::to_string(size) + "}";
  const Result<void> done = loop.run(runner->run(task));
  REQUIRE(done);
  const std::string bytes = task.artifact("noop.bin");
  REQUIRE(bytes.size() == size);
  // Each 4 KiB block holds its number.
  if (size > 8192) CHECK(bytes.substr(8192, 8) == std::string("\x02\0\0\0\0\0\0\0", 8));
}

TEST_CASE("noop: fails with the asked reason, after its artifact", "[runners][mt]") {
  TestLoop loop;
  FakeTask task(loop.clock);
  const auto runner = make_noop_runner({.sleep = 0ms});
  task.task.meta_json = R"({"fail":"out_of_luck","output_bytes":5})";
  const Result<void> done = loop.run(runner->run(task));
  REQUIRE_FALSE(done);
  CHECK(done.error().code == "out_of_luck");
  CHECK(task.artifacts().size() == 1);
}

TEST_CASE("noop: what it cannot do is said", "[runners]") {
  TestLoop loop;
  FakeTask task(loop.clock);
  const auto runner = make_noop_runner({.sleep = 0ms});
  const auto [name, meta, code] = GENERATE(table<std::string, std::string, std::string>({
      {"no JSON", "nonsense", "json_syntax"},
      {"negative sleep", R"({"sleep_secs":-1})", "bad_meta"},
      {"endless sleep", R"({"sleep_secs":1e300})", "bad_meta"},
      {"text for a number", R"({"output_bytes":"5"})", "bad_meta"},
      {"too much output", R"({"output_bytes":99999999999999})", "bad_meta"},
  }));
  INFO(name);
  task.task.meta_json = meta;
  const Result<void> done = loop.run(runner->run(task));
  REQUIRE_FALSE(done);
  CHECK(done.error().code == code);
}

TEST_CASE("noop: fetches its inputs, and hands on what the ports answer", "[runners][mt]") {
  TestLoop loop;
  FakeTask task(loop.clock);
  const auto runner = make_noop_runner({.sleep = 0ms});
  const auto file = task.root() / "in.txt";
  std::ofstream(file) << "hello";
  task.add_input(file);
  SECTION("all well") {
    CHECK(loop.run(runner->run(task)).ok());
    CHECK(std::filesystem::exists(task.workspace() / "inputs" / "in.txt"));
  }
  SECTION("a fetch fails") {
    task.fetch_fails.emplace(ErrorKind::retry, "http_503", "busy");
    CHECK(loop.run(runner->run(task)).error().code == "http_503");
  }
  SECTION("a put fails") {
    task.put_fails.emplace(ErrorKind::full, "disk_full", "no space");
    task.task.meta_json = R"({"output_bytes":5})";
    CHECK(loop.run(runner->run(task)).error().code == "disk_full");
  }
}

}  // namespace pn::runners
