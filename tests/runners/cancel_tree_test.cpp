#include "base/awaitable.hpp"
#include "base/file.hpp"
#include "base/result.hpp"
#include "base/system_clock.hpp"
#include "base/time.hpp"
#include "runners/process.hpp"
#include "tests/support/test_loop.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>
#include <unistd.h>

namespace pn::runners {
namespace {

using namespace std::chrono_literals;
using testing::Started;
using testing::TestLoop;

constexpr Millis kGrace{100};
constexpr std::size_t kAtOnce = 10;

/// A family that does not want to go: children that ignore SIGTERM, that leave the group, that
/// leave it and lose their parent, and that fork on and on.
constexpr const char* kFamily =
    "trap '' TERM\n"
    "sleep 1000 &\n"
    "(sleep 1000 & sleep 1000 & wait) &\n"
    "setsid sh -c 'trap \"\" TERM; sleep 1000 & sleep 1000' &\n"
    "(setsid sh -c 'sleep 1000 & setsid sleep 1000 & sleep 1000' &)\n"
    "(while :; do sleep 0.02; (setsid sleep 1000 &); done) &\n"
    "echo ready\n"
    "wait\n";

struct Run {
  bool ready = false;
  bool ended = false;
  SteadyTime ended_at{};
};

Awaitable<void> run_family(ProcessLauncher& launcher, ProcessSpec spec, Run& run) {
  struct Ended {
    Run& run;
    ~Ended() {
      run.ended = true;
      run.ended_at = std::chrono::steady_clock::now();
    }
  };
  const Ended ended{.run = run};
  const Result<ProcessExit> ignored = co_await launcher.run(std::move(spec));
  static_cast<void>(ignored);
}

/// Processes with this mark in their environment.
std::size_t survivors(const std::string& mark) {
  std::size_t out = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const Result<std::string> environment = read_file(entry.path() / "environ", 1 << 20);
    if (environment && environment->find(mark) != std::string::npos) ++out;
  }
  return out;
}

void cancel_families(std::size_t runs) {
  // Under TSan a child flushes at its end what it inherited: nothing of ours may wait in a buffer.
  std::cout.flush();
  std::fflush(nullptr);
  TestLoop loop;
  SystemClock clock;
  const std::unique_ptr<ProcessLauncher> launcher = make_process_launcher(loop.executor(), clock);
  const std::string mark = "PN_TREE=" + std::to_string(::getpid()) + ".";
  Millis longest{0};
  for (std::size_t done = 0; done < runs; done += kAtOnce) {
    std::vector<Run> family(kAtOnce);
    std::vector<std::unique_ptr<Started>> started;
    for (std::size_t i = 0; i < kAtOnce; ++i) {
      ProcessSpec spec;
      spec.program = "sh";
      spec.arguments = {"-c", kFamily};
      spec.environment = {{"PATH", "/usr/bin:/bin"},
                          {"PN_TREE", mark.substr(8) + std::to_string(done + i)}};
      spec.grace = kGrace;
      spec.on_line = [&run = family[i]](std::string_view line) {
        if (line == "ready") run.ready = true;
      };
      started.push_back(
          std::make_unique<Started>(loop, run_family(*launcher, std::move(spec), family[i])));
    }
    const auto all_ready = [&] {
      return std::all_of(family.begin(), family.end(), [](const Run& run) { return run.ready; });
    };
    REQUIRE(loop.run_until(all_ready, 20s));
    const SteadyTime cancelled = std::chrono::steady_clock::now();
    for (const auto& one : started) one->cancel();
    const auto all_done = [&] {
      return std::all_of(
          started.begin(), started.end(), [](const auto& one) { return one->done(); });
    };
    REQUIRE(loop.run_until(all_done, 20s));
    for (const Run& run : family) {
      CHECK(run.ended);
      longest = std::max(longest, std::chrono::duration_cast<Millis>(run.ended_at - cancelled));
    }
    CHECK(survivors(mark) == 0);
  }
  INFO("the longest took " << longest.count() << " ms");
  CHECK(longest <= kGrace + 1s);
}

}  // namespace

TEST_CASE("cancel_tree: nothing of a cancelled runner's family is left", "[runners][cancel_tree]") {
  cancel_families(40);
}

TEST_CASE("cancel_tree: nothing is left of 200 families", "[runners][cancel_tree][.slow]") {
  cancel_families(200);
}

}  // namespace pn::runners
