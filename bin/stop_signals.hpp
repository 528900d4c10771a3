#pragma once

#include "base/awaitable.hpp"

#include <functional>
#include <memory>

#include <boost/asio/io_context.hpp>

namespace pn::bin {

/// SIGINT and SIGTERM, counted: `step(1)`, `step(2)`, ... on the loop, which is held until stop().
/// They are the same in a shell, in a container and under systemd. Signal number `forced` ends the
/// process with kExitForced at once, on a thread of its own: whatever the loop does, also while all
/// is torn down after stop(), until this goes.
class StopSignals final {
 public:
  StopSignals(asio::io_context& loop, int forced, std::function<void(int)> step);
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  /// Lets go of the loop. From its thread.
  void stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pn::bin
