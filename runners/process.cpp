#include "runners/process.hpp"

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/deadline.hpp"
#include "base/file.hpp"
#include "base/nursery.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "runners/line_splitter.hpp"
#include "runners/process_spawn.hpp"

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <exception>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

namespace pn::runners {
namespace {

using Descriptor = asio::posix::stream_descriptor;

/// Asio closes what it is given, so it gets a copy.
Descriptor watched(const Executor& executor, int fd) { return {executor, ::dup(fd)}; }

/// Until the pipe ends. Ends by cancellation where a process that left the group keeps it open.
Awaitable<void> read_output(Descriptor& pipe, LineSplitter& lines) {
  std::array<char, 16 * 1024> chunk{};
  for (;;) {
    const auto buffer = asio::buffer(chunk);
    const auto [failed, got] =
        co_await pipe.async_read_some(buffer, asio::as_tuple(asio::use_awaitable));
    if (failed == asio::error::operation_aborted) throw boost::system::system_error(failed);
    if (failed) co_return;
    lines.add(std::string_view(chunk.data(), got));
  }
}

/// What the pipe holds now, without waiting.
void drain(int fd, LineSplitter& lines) {
  std::array<char, 16 * 1024> chunk{};
  for (;;) {
    const ssize_t got = ::read(fd, chunk.data(), chunk.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return;
    lines.add(std::string_view(chunk.data(), static_cast<std::size_t>(got)));
  }
}

Awaitable<Result<void>> wait_end(Descriptor& pidfd) {
  co_await pidfd.async_wait(Descriptor::wait_read, asio::use_awaitable);
  co_return Result<void>();
}

/// How soon a grace under way knows that it was cut.
constexpr Millis kLook{100};

class PosixLauncher final : public ProcessLauncher {
 public:
  PosixLauncher(Executor executor, Clock& clock) : executor_(std::move(executor)), clock_(clock) {}

  Awaitable<Result<ProcessExit>> run(ProcessSpec spec) override {
    const auto path = spec.environment.find("PATH");
    const std::string search_path = path == spec.environment.end() ? "" : path->second;
    const Result<std::filesystem::path> program = find_program(spec.program, search_path);
    if (!program) co_return program.error();
    const SteadyTime started = clock_.steady_now();
    const SpawnRequest request{.program = *program,
                               .arguments = spec.arguments,
                               .environment = spec.environment,
                               .folder = spec.folder};
    Result<SpawnedGroup> group = spawn_group(request);
    if (!group) co_return std::move(group).error();

    LineSplitter lines(spec.on_line);
    // Until the group has ended this frame must stay, cancelled or not. The setting belongs to the
    // caller's whole chain of coroutines: left off, a later cancellation would be latched and lost.
    const bool throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    std::exception_ptr thrown;
    SpawnReport report;
    try {
      report = co_await follow(*group, lines, spec.grace);
    } catch (...) {
      thrown = std::current_exception();
    }
    co_await asio::this_coro::throw_if_cancelled(throws);
    if (thrown) std::rethrow_exception(thrown);
    co_return exit_of(*program, report, started);
  }

  void stop_by(SteadyTime latest) override { latest_.store(latest); }

 private:
  /// To the end of the group; throws operation_aborted after it when cancelled meanwhile.
  Awaitable<SpawnReport> follow(SpawnedGroup& group, LineSplitter& lines, Millis grace) {
    Descriptor output = watched(executor_, group.output());
    Descriptor pidfd = watched(executor_, group.pidfd());
    Nursery nursery(executor_);
    nursery.spawn("process output", read_output(output, lines));
    co_await pidfd.async_wait(Descriptor::wait_read, asio::as_tuple(asio::use_awaitable));
    const auto state = co_await asio::this_coro::cancellation_state;
    const bool cancelled = state.cancelled() != asio::cancellation_type::none;
    if (cancelled) {
      co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
      co_await stop(group, pidfd, grace);
    }
    const SpawnReport report = group.reap();
    nursery.cancel();
    co_await nursery.join();
    drain(group.output(), lines);
    lines.finish();
    if (cancelled) throw boost::system::system_error(asio::error::operation_aborted);
    co_return report;
  }

  Awaitable<void> stop(SpawnedGroup& group, Descriptor& pidfd, Millis grace) {
    group.signal_group(SIGTERM);
    const Deadline deadline = Deadline::in(clock_, grace);
    while (!deadline.passed(clock_) && clock_.steady_now() < latest_.load()) {
      Awaitable<Result<void>> ended = wait_end(pidfd);
      const Deadline look = Deadline::in(clock_, kLook).sooner(deadline);
      const Result<void> in_time = co_await with_deadline<void>(clock_, look, std::move(ended));
      if (in_time) co_return;
    }
    group.kill_all();
    co_await pidfd.async_wait(Descriptor::wait_read, asio::use_awaitable);
  }

  Result<ProcessExit> exit_of(const std::filesystem::path& program,
                              const SpawnReport& report,
                              SteadyTime started) const {
    if (report.exec_error != 0) {
      Error error = from_errno(report.exec_error, "cannot start " + program.string());
      error.code = error.kind == ErrorKind::not_found ? "program_missing" : "spawn_failed";
      return error;
    }
    if (!report.wait_status) {
      return Error(
          ErrorKind::internal, "spawn_failed", "the end of " + program.string() + " was not seen");
    }
    ProcessExit out;
    out.wall = std::chrono::duration_cast<Millis>(clock_.steady_now() - started);
    const int status = *report.wait_status;
    if (WIFSIGNALED(status)) {
      out.signal = WTERMSIG(status);
      out.code = 128 + *out.signal;
    } else {
      out.code = WEXITSTATUS(status);
    }
    return out;
  }

  Executor executor_;
  Clock& clock_;
  std::atomic<SteadyTime> latest_{SteadyTime::max()};
};

}  // namespace

std::unique_ptr<ProcessLauncher> make_process_launcher(Executor executor, Clock& clock) {
  return std::make_unique<PosixLauncher>(std::move(executor), clock);
}

}  // namespace pn::runners
