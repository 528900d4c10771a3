#include "bin/tear_down.hpp"

#include "base/time.hpp"

#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <thread>
#include <utility>

#include <unistd.h>

namespace pn::bin {

void leave(int code, const std::function<void()>& tell) {
  std::promise<void> told;
  const std::thread telling([&] {
    tell();
    told.set_value();
  });
  told.get_future().wait_for(std::chrono::seconds(1));
  ::_exit(code);  // with the thread, if it still tries
}

struct TearDownLimit::Impl {
  std::promise<void> over;
  std::thread thread;
};

TearDownLimit::TearDownLimit(Millis limit, int code, std::function<void()> tell)
    : impl_(std::make_unique<Impl>()) {
  impl_->thread =
      std::thread([limit, code, tell = std::move(tell), over = impl_->over.get_future()] {
        if (over.wait_for(limit) == std::future_status::timeout) leave(code, tell);
      });
}

TearDownLimit::~TearDownLimit() {
  impl_->over.set_value();
  impl_->thread.join();
}

}  // namespace pn::bin
