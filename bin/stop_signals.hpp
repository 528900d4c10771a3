#pragma once

#include <functional>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

namespace pn::bin {

/// SIGINT and SIGTERM, counted: `step(1)`, `step(2)`, ... on the loop. They are the same in a
/// shell, in a container and under systemd. Holds the loop until stop().
class StopSignals final {
 public:
  StopSignals(boost::asio::io_context& loop, std::function<void(int)> step);
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  void stop() { signals_.cancel(); }

 private:
  void wait();

  boost::asio::signal_set signals_;
  const std::function<void(int)> step_;
  int count_ = 0;
};

}  // namespace pn::bin
