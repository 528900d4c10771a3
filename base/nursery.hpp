#pragma once

#include "base/awaitable.hpp"

#include <exception>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace pn {

/// The owner of background coroutines: each child has one, none outlives it.
///
/// The first child that throws cancels its siblings; join() awaits all and rethrows that.
/// Destroying a nursery with live children aborts the process: it is a bug that would otherwise be
/// a use after free, so let it be the last data member and join before the owner goes. Thread: one
/// loop's. Not copied, not moved.
class Nursery final {
 public:
  explicit Nursery(Executor executor);
  ~Nursery();
  Nursery(const Nursery&) = delete;
  Nursery& operator=(const Nursery&) = delete;

  /// Starts `child`; its first step runs inside this call. `name` stands in the abort message.
  void spawn(std::string_view name, Awaitable<void> child);

  /// Terminal cancellation for every child that lives now. Children spawned later are not touched.
  void cancel();

  /// Returns when no child is left. Rethrows the first error, but not the operation_aborted of a
  /// child that was cancelled. Cancelling the caller cancels the children, waits for them, and then
  /// throws operation_aborted.
  Awaitable<void> join();

  [[nodiscard]] std::size_t live() const;

 private:
  struct State;
  std::shared_ptr<State>
      state_;  // shared with the children's end handlers, which may run while we unwind
};

/// Runs `op` to its end even when the caller is cancelled meanwhile; cancellation takes effect
/// after it. For cleanup that must await; give `op` a deadline of its own.
Awaitable<void> shielded(Awaitable<void> op);

namespace detail {
Awaitable<void> run_on(Executor executor, Awaitable<void> op);

template <class T>
Awaitable<void> keep(Awaitable<T> op, std::optional<T>& out) {
  out.emplace(co_await std::move(op));
}
}  // namespace detail

/// Runs `op` on another loop and resumes here with its result. Cancellation is forwarded to that
/// loop. `op`'s reference arguments must be safe to use there.
template <class T>
Awaitable<T> run_on(Executor executor, Awaitable<T> op) {
  if constexpr (std::is_void_v<T>) {
    co_await detail::run_on(std::move(executor), std::move(op));
  } else {
    std::optional<T> out;
    Awaitable<void> kept = detail::keep<T>(std::move(op), out);
    co_await detail::run_on(std::move(executor), std::move(kept));
    co_return std::move(*out);
  }
}

}  // namespace pn
