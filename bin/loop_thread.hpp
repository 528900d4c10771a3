#pragma once

#include "base/awaitable.hpp"

#include <string>
#include <thread>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

namespace pn::bin {

/// A loop with a thread of its own, which runs from start() to stop(). Build what lives on the loop
/// between the two constructions, destroy it after stop().
class LoopThread final {
 public:
  explicit LoopThread(std::string name);
  ~LoopThread();
  LoopThread(const LoopThread&) = delete;
  LoopThread& operator=(const LoopThread&) = delete;

  [[nodiscard]] Executor executor() { return context_.get_executor(); }
  [[nodiscard]] asio::io_context& context() { return context_; }
  void start();
  /// Stops the loop, whatever is left to do on it, and joins the thread. Twice is once.
  void stop();

 private:
  const std::string name_;
  asio::io_context context_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_{context_.get_executor()};
  std::thread thread_;
};

}  // namespace pn::bin
