#include "bin/loop_thread.hpp"

#include <string>
#include <utility>

#include <pthread.h>

namespace pn::bin {

LoopThread::LoopThread(std::string name) : name_(std::move(name)) {}

LoopThread::~LoopThread() { stop(); }

void LoopThread::start() {
  // No signal is blocked here: programs started from this loop would inherit that.
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), name_.substr(0, 15).c_str());
    context_.run();
  });
}

void LoopThread::stop() {
  work_.reset();
  context_.stop();
  if (thread_.joinable()) thread_.join();
}

}  // namespace pn::bin
