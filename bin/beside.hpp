#pragma once

#include "base/awaitable.hpp"
#include "base/deadline.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "base/time.hpp"

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

namespace pn::bin {

/// Runs what may hang where nothing can end it (getaddrinfo, a file on a network disk that is gone)
/// on a thread of its own, for `limit` at most: past it the answer is deadline_error(), and the
/// thread is left behind, to end with the process. So only for a command that ends soon, and `fn`
/// owns all that it uses.
template <class T>
Awaitable<Result<T>> beside(ThreadPool& pool, Millis limit, std::function<T()> fn) {
  struct Shared {
    std::mutex mutex;  // between the thread and the pool's that waits for it
    std::condition_variable ready;
    std::optional<T> answer;
  };
  const auto shared = std::make_shared<Shared>();
  std::thread([shared, fn = std::move(fn)] {
    T answer = fn();
    const std::lock_guard lock(shared->mutex);
    shared->answer.emplace(std::move(answer));
    shared->ready.notify_one();
  }).detach();
  const std::function<bool()> wait = [shared, limit] {
    std::unique_lock lock(shared->mutex);
    return shared->ready.wait_for(lock, limit, [&] { return shared->answer.has_value(); });
  };
  const bool came = co_await offload(pool, wait);
  if (!came) co_return deadline_error();
  co_return std::move(*shared->answer);
}

}  // namespace pn::bin
