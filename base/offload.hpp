#pragma once

#include "base/awaitable.hpp"

#include <atomic>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

namespace pn {

class ThreadPool;
namespace detail {
/// Runs `work` on the pool, then resumes here. Not interruptible: `work` may hold references to the
/// caller's frame.
Awaitable<void> run_on_pool(ThreadPool& pool, const std::function<void()>& work);
/// The same; cancellation of the caller sets `stop`, and is thrown when `work` has returned.
Awaitable<void> run_on_pool(ThreadPool& pool,
                            const std::function<void()>& work,
                            std::atomic<bool>& stop);
}  // namespace detail

/// Threads for what may block or compute: file I/O, hashing, archives, SQL. Joined by the
/// destructor.
class ThreadPool final {
 public:
  /// `name` (at most 15 characters) is what `top -H` and a debugger show.
  ThreadPool(std::string_view name, std::size_t threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  [[nodiscard]] Executor executor() const;
  /// What was offloaded here and has not returned. Thread: any.
  [[nodiscard]] std::size_t busy() const;

 private:
  friend Awaitable<void> detail::run_on_pool(ThreadPool& pool, const std::function<void()>& work);
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Runs `fn()` on a pool's thread and answers what it returned, or rethrows what it threw. Returns
/// only when the worker is done, whatever is cancelled meanwhile, so `fn` may refer to the caller's
/// frame; what takes longer than a second is for offload_stoppable. `fn` must be copyable, and must
/// outlive nothing: name it before the await (no lambda inside co_await).
template <class F>
Awaitable<std::invoke_result_t<F&>> offload(ThreadPool& pool, F fn) {
  using R = std::invoke_result_t<F&>;
  if constexpr (std::is_void_v<R>) {
    const std::function<void()> work = [&fn] { fn(); };
    co_await detail::run_on_pool(pool, work);
  } else {
    std::optional<R> out;
    const std::function<void()> work = [&fn, &out] { out.emplace(fn()); };
    co_await detail::run_on_pool(pool, work);
    co_return std::move(*out);
  }
}

/// As offload(), for work that can be cut short: runs `fn(stop)`, and cancellation of the caller
/// sets `stop`, from another thread. Still returns only when the worker is done; a cancelled one
/// throws operation_aborted then, whatever `fn` answered.
template <class F>
Awaitable<std::invoke_result_t<F&, const std::atomic<bool>&>> offload_stoppable(ThreadPool& pool,
                                                                                F fn) {
  using R = std::invoke_result_t<F&, const std::atomic<bool>&>;
  std::atomic<bool> stop{false};
  if constexpr (std::is_void_v<R>) {
    const std::function<void()> work = [&fn, &stop] { fn(stop); };
    co_await detail::run_on_pool(pool, work, stop);
  } else {
    std::optional<R> out;
    const std::function<void()> work = [&fn, &stop, &out] { out.emplace(fn(stop)); };
    co_await detail::run_on_pool(pool, work, stop);
    co_return std::move(*out);
  }
}

}  // namespace pn
