#include "bin/stop_signals.hpp"

#include <csignal>
#include <functional>
#include <utility>

namespace pn::bin {

StopSignals::StopSignals(boost::asio::io_context& loop, std::function<void(int)> step)
    : signals_(loop, SIGINT, SIGTERM), step_(std::move(step)) {
  wait();
}

void StopSignals::wait() {
  signals_.async_wait([this](const boost::system::error_code& failed, int) {
    if (failed) return;
    wait();
    step_(++count_);
  });
}

}  // namespace pn::bin
