#include "bin/stop_signals.hpp"

#include "base/awaitable.hpp"
#include "bin/exit_codes.hpp"
#include "bin/loop_thread.hpp"

#include <csignal>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/system/error_code.hpp>
#include <unistd.h>

namespace pn::bin {

struct StopSignals::Impl {
  Impl(asio::io_context& l, int f, std::function<void(int)> s)
      : loop(l),
        held(asio::make_work_guard(l)),
        forced(f),
        step(std::move(s)),
        signals(thread.context(), SIGINT, SIGTERM) {
    // A terminal that is closed is a stop, unless somebody has said otherwise (nohup).
    struct sigaction hangup{};
    const bool told = ::sigaction(SIGHUP, nullptr, &hangup) == 0;
    if (told && hangup.sa_handler != SIG_IGN) signals.add(SIGHUP);
    wait();
    thread.start();
  }

  void wait() {
    signals.async_wait([this](const boost::system::error_code& failed, int) {
      if (failed) return;
      ++count;
      if (count >= forced) ::_exit(kExitForced);
      asio::post(loop, [this, number = count] { step(number); });
      wait();
    });
  }

  asio::io_context& loop;
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> held;
  const int forced;
  const std::function<void(int)> step;
  int count = 0;  // of our thread
  LoopThread thread{"signals"};
  asio::signal_set signals;
};

StopSignals::StopSignals(asio::io_context& loop, int forced, std::function<void(int)> step)
    : impl_(std::make_unique<Impl>(loop, forced, std::move(step))) {}

StopSignals::~StopSignals() { impl_->thread.stop(); }

void StopSignals::stop() { impl_->held.reset(); }

}  // namespace pn::bin
