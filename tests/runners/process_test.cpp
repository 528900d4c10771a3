#include "runners/process.hpp"

#include "base/awaitable.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "base/system_clock.hpp"
#include "base/time.hpp"
#include "runners/process_spawn.hpp"
#include "tests/support/test_loop.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/poll.h>
#include <sys/wait.h>
#include <unistd.h>

namespace pn::runners {
namespace {

using namespace std::chrono_literals;
using testing::Started;
using testing::TestLoop;
using Lines = std::vector<std::string>;

struct Fixture {
  // Under TSan a child flushes at its end what it inherited: nothing of ours may wait in a buffer.
  Fixture() {
    std::cout.flush();
    std::fflush(nullptr);
  }

  TestLoop loop;
  SystemClock clock;
  std::unique_ptr<ProcessLauncher> launcher = make_process_launcher(loop.executor(), clock);
  Lines lines;

  ProcessSpec sh(std::string script) {
    ProcessSpec spec;
    spec.program = "sh";
    spec.arguments = {"-c", std::move(script)};
    spec.on_line = [this](std::string_view line) { lines.emplace_back(line); };
    return spec;
  }
  Result<ProcessExit> run(ProcessSpec spec) { return loop.run(launcher->run(std::move(spec))); }
};

Awaitable<void> run_into(ProcessLauncher& launcher,
                         ProcessSpec spec,
                         std::optional<Result<ProcessExit>>& out) {
  Result<ProcessExit> result = co_await launcher.run(std::move(spec));
  out.emplace(std::move(result));
}

/// Running: there, and no zombie that nobody has reaped yet.
bool runs(pid_t pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  if (!std::getline(stat, line)) return false;
  const auto end = line.rfind(')');
  return end != std::string::npos && line.at(end + 2) != 'Z' && line.at(end + 2) != 'X';
}

std::vector<pid_t> pids_of(const Lines& lines) {
  std::vector<pid_t> out;
  for (const std::string& line : lines) {
    if (line.rfind("pid ", 0) == 0) out.push_back(std::stoi(line.substr(4)));
  }
  return out;
}

// The shell, a child that ignores SIGTERM where asked, and a grandchild.
std::string family(const std::string& first) {
  return first + "(sleep 1000 & echo pid $!; wait) & echo pid $!; echo pid $$; echo ready; wait";
}

bool ready(const Lines& lines) {
  return std::find(lines.begin(), lines.end(), "ready") != lines.end() &&
         pids_of(lines).size() == 3;
}

}  // namespace

TEST_CASE_METHOD(Fixture, "process: tells both streams' lines and the exit code", "[runners][mt]") {
  const Result<ProcessExit> done = run(sh("echo out; echo err >&2; printf 'a\\rb'; exit 7"));
  REQUIRE(done);
  CHECK(done->code == 7);
  CHECK_FALSE(done->signal);
  CHECK(lines == Lines{"out", "err", "a", "b"});
}

TEST_CASE_METHOD(Fixture, "process: no output is lost when it ends at once", "[runners][mt]") {
  REQUIRE(run(sh("i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done")));
  CHECK(lines.size() == 3000);
  CHECK(lines.back() == "line 2999");
}

TEST_CASE_METHOD(Fixture, "process: a signal shows as such", "[runners][mt]") {
  const Result<ProcessExit> done = run(sh("kill -SEGV $$"));
  REQUIRE(done);
  CHECK(done->signal == SIGSEGV);
  CHECK(done->code == 128 + SIGSEGV);
}

TEST_CASE_METHOD(Fixture, "process: its environment is what it was given", "[runners][mt]") {
  ::setenv("PN_TEST_SECRET", "must not be seen", 1);
  ProcessSpec spec = sh("exec env");
  spec.environment = {{"PATH", "/usr/bin:/bin"}, {"ONLY", "this"}};
  REQUIRE(run(std::move(spec)));
  ::unsetenv("PN_TEST_SECRET");
  std::sort(lines.begin(), lines.end());
  // dash adds PWD itself.
  std::erase_if(lines, [](const std::string& line) { return line.rfind("PWD=", 0) == 0; });
  CHECK(lines == Lines{"ONLY=this", "PATH=/usr/bin:/bin"});
}

TEST_CASE_METHOD(Fixture, "process: inherits no descriptor and no signal mask", "[runners][mt]") {
  const int leaky = ::open("/dev/null", O_RDONLY);  // without CLOEXEC, as a careless library would
  sigset_t term;
  sigset_t before;
  sigemptyset(&term);
  sigaddset(&term, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &term, &before);
  ::signal(SIGPIPE, SIG_IGN);
  const Result<ProcessExit> done =
      run(sh("ls /proc/self/fd; grep -E 'Sig(Blk|Ign)' /proc/self/status"));
  ::signal(SIGPIPE, SIG_DFL);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ::close(leaky);
  REQUIRE(done);
  // 3 is ls's own view of the folder.
  CHECK(lines ==
        Lines{"0", "1", "2", "3", "SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000"});
}

TEST_CASE_METHOD(Fixture, "process: starts in its folder, in a group of its own", "[runners][mt]") {
  ProcessSpec spec = sh("pwd -P; ps -o pgid= -p $$");
  spec.folder = "/usr";
  REQUIRE(run(std::move(spec)));
  REQUIRE(lines.size() == 2);
  CHECK(lines[0] == "/usr");
  CHECK(std::stoi(lines[1]) != ::getpgrp());
}

TEST_CASE_METHOD(Fixture, "process: what cannot be started is said", "[runners][mt]") {
  SECTION("no such name in PATH") {
    ProcessSpec spec = sh("");
    spec.program = "pn-no-such-program";
    const Result<ProcessExit> done = run(std::move(spec));
    REQUIRE_FALSE(done);
    CHECK(done.error().kind == ErrorKind::not_found);
    CHECK(done.error().code == "program_missing");
  }
  SECTION("a file that is no program") {
    ProcessSpec spec = sh("");
    spec.program = "/etc/passwd";
    CHECK(run(std::move(spec)).error().code == "program_missing");
  }
  SECTION("the folder is not there") {
    ProcessSpec spec = sh("echo never");
    spec.folder = "/no/such/folder";
    const Result<ProcessExit> done = run(std::move(spec));
    REQUIRE_FALSE(done);
    CHECK(lines.empty());
  }
}

TEST_CASE("process: a name is looked up in the given folders only", "[runners]") {
  CHECK(find_program("sh", "/nowhere:/bin")->string() == "/bin/sh");
  CHECK(find_program("/bin/sh", "/nowhere")->string() == "/bin/sh");
  CHECK_FALSE(find_program("sh", "/nowhere"));
  CHECK_FALSE(find_program("", "/bin"));
  CHECK_FALSE(find_program("bin", "/"));  // a folder
}

TEST_CASE_METHOD(Fixture, "process: ends only with its background children", "[runners][mt]") {
  // The shell is gone at once; its child, adopted by the watcher, tells a line later.
  std::optional<Result<ProcessExit>> out;
  Started started(
      loop, run_into(*launcher, sh("(read x < /dev/null; sleep 0.2; echo late) & exit 3"), out));
  REQUIRE(loop.run_until([&] { return out.has_value(); }));
  REQUIRE(*out);
  CHECK((*out)->code == 3);
  CHECK(lines == Lines{"late"});
}

TEST_CASE_METHOD(Fixture, "process: cancellation ends the whole family", "[runners][mt]") {
  std::optional<Result<ProcessExit>> out;
  const auto [name, script, grace] = GENERATE(table<std::string, std::string, Millis>({
      {"by SIGTERM", family(""), 60'000ms},
      {"by SIGKILL when SIGTERM is ignored", family("trap '' TERM; "), 50ms},
  }));
  INFO(name);
  ProcessSpec spec = sh(script);
  spec.grace = grace;
  Started started(loop, run_into(*launcher, std::move(spec), out));
  REQUIRE(loop.run_until([&] { return ready(lines); }));
  const std::vector<pid_t> pids = pids_of(lines);
  started.cancel();
  REQUIRE(loop.run_until([&] { return started.done(); }));
  CHECK(started.failed());
  CHECK_FALSE(out);
  // Killed at one stroke, but on a busy machine the last may take a moment to be gone.
  CHECK(loop.run_until([&] { return std::none_of(pids.begin(), pids.end(), runs); }));
}

TEST_CASE_METHOD(Fixture,
                 "process: a cancellation between two programs is not lost",
                 "[runners][mt]") {
  ThreadPool pool("between", 1);
  std::atomic<bool> working{false};
  std::atomic<bool> go{false};
  std::optional<Result<ProcessExit>> second;
  const auto body = [&]() -> Awaitable<void> {
    const Result<ProcessExit> first = co_await launcher->run(sh("true"));
    CHECK(first.ok());
    const auto work = [&] {
      working = true;
      while (!go) std::this_thread::yield();
    };
    co_await offload(pool, work);
    ProcessSpec spec = sh("");
    spec.program = "pn-no-such-program";  // it would answer at once, before it looks at anything
    Result<ProcessExit> got = co_await launcher->run(std::move(spec));
    second.emplace(std::move(got));
  };
  Started started(loop, body());
  REQUIRE(loop.run_until([&] { return working.load(); }));
  started.cancel();
  go = true;
  REQUIRE(loop.run_until([&] { return started.done(); }));
  CHECK(started.failed());
  CHECK_FALSE(second);
}

TEST_CASE_METHOD(Fixture, "process: what left its group ends with it", "[runners][mt]") {
  // It keeps its parent, or has lost it already, and holds the output open either way.
  const std::string stray = GENERATE(as<std::string>(),
                                     "setsid sleep 1000 & echo pid $!; ",
                                     "(setsid sleep 1000 & echo pid $!); ");
  INFO(stray);
  std::optional<Result<ProcessExit>> out;
  SECTION("when the program ends") {
    Started started(loop, run_into(*launcher, sh(stray + "exit 3"), out));
    REQUIRE(loop.run_until([&] { return out.has_value(); }));
    REQUIRE(*out);
    CHECK((*out)->code == 3);
  }
  SECTION("when it is cancelled") {
    const auto [trap, grace] =
        GENERATE(table<std::string, Millis>({{"", 60'000ms}, {"trap '' TERM; ", 50ms}}));
    ProcessSpec spec = sh(trap + stray + "echo ready; sleep 1000 & wait; wait");
    spec.grace = grace;
    Started started(loop, run_into(*launcher, std::move(spec), out));
    REQUIRE(loop.run_until([&] { return !lines.empty() && lines.back() == "ready"; }));
    started.cancel();
    REQUIRE(loop.run_until([&] { return started.done(); }));
    CHECK(started.failed());
  }
  const std::vector<pid_t> pids = pids_of(lines);
  REQUIRE(pids.size() == 1);
  CHECK_FALSE(runs(pids.front()));
}

TEST_CASE_METHOD(Fixture, "process: a program may leave its group itself", "[runners][mt]") {
  ProcessSpec spec = sh("");
  spec.program = "setsid";
  spec.arguments = {"sh", "-c", "sleep 0.2; echo late; exit 4"};
  const Result<ProcessExit> done = run(std::move(spec));
  REQUIRE(done);
  CHECK(done->code == 4);
  CHECK(lines == Lines{"late"});
}

TEST_CASE_METHOD(Fixture, "process: a program has its grace to end well", "[runners][mt]") {
  std::optional<Result<ProcessExit>> out;
  Started started(
      loop,
      run_into(*launcher,
               sh("trap 'echo saved; exit 0' TERM; echo ready; while :; do sleep 0.05; done"),
               out));
  REQUIRE(loop.run_until([&] { return !lines.empty(); }));
  started.cancel();
  REQUIRE(loop.run_until([&] { return started.done(); }));
  // Between the two the shell may say "Terminated" of its own sleep, which gets the signal as well.
  CHECK(lines.front() == "ready");
  CHECK(lines.back() == "saved");
}

TEST_CASE_METHOD(Fixture, "process: a grace ends when the node's drain does", "[runners][mt]") {
  std::optional<Result<ProcessExit>> out;
  Started started(
      loop, run_into(*launcher, sh("trap '' TERM; echo ready; while :; do sleep 0.05; done"), out));
  REQUIRE(loop.run_until([&] { return !lines.empty(); }));
  const bool known_before = GENERATE(true, false);
  const auto cut = [&] { launcher->stop_by(clock.steady_now() + Millis(200)); };
  if (known_before) cut();
  const SteadyTime cancelled = clock.steady_now();
  started.cancel();
  loop.poll();
  if (!known_before) cut();
  REQUIRE(loop.run_until([&] { return started.done(); }));
  CHECK(clock.steady_now() - cancelled >= Millis(200));
  CHECK(clock.steady_now() - cancelled < Millis(2000));  // of thirty seconds
}

TEST_CASE("process: kill -9 of the node leaves nothing running", "[runners][mt]") {
  std::array<int, 2> ends{};
  REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
  const std::string script =
      "trap '' TERM INT HUP; setsid sleep 1000 & echo stray $!; " + family("");
  const pid_t victim = ::fork();
  if (victim == 0) {
    ::dup2(ends[1], 1);
    ::execl(PROCESS_VICTIM, PROCESS_VICTIM, script.c_str(), nullptr);
    ::_exit(127);
  }
  ::close(ends[1]);
  std::string text;
  Lines lines;
  for (char c = 0; !ready(lines) && ::read(ends[0], &c, 1) == 1;) {
    if (c != '\n') {
      text += c;
      continue;
    }
    lines.push_back(std::exchange(text, ""));
  }
  REQUIRE(ready(lines));
  std::vector<pid_t> pids = pids_of(lines);
  REQUIRE(lines.front().starts_with("stray "));
  pids.push_back(std::stoi(lines.front().substr(6)));
  for (const pid_t pid : pids) REQUIRE(runs(pid));
  ::kill(victim, SIGKILL);
  ::waitpid(victim, nullptr, 0);
  // The pipe ends when the last of the family that could write to it is gone; here nobody could
  // but the victim, so the family is looked at.
  const auto end = std::chrono::steady_clock::now() + 5s;
  const auto any_runs = [&] { return std::any_of(pids.begin(), pids.end(), runs); };
  while (any_runs() && std::chrono::steady_clock::now() < end) ::poll(nullptr, 0, 5);
  CHECK_FALSE(any_runs());
  ::close(ends[0]);
}

}  // namespace pn::runners
