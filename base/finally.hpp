#pragma once

#include "base/awaitable.hpp"
#include "base/nursery.hpp"

#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

namespace pn {

namespace detail {
Awaitable<void> finally(Awaitable<void> op, std::function<Awaitable<void>()> cleanup);
}  // namespace detail

/// Runs `op`, and however it ended (cancellation too) then what `cleanup` answers, shielded;
/// answers or throws what `op` did. `cleanup` has a deadline of its own and does not throw.
template <class T>
Awaitable<T> finally(Awaitable<T> op, std::function<Awaitable<void>()> cleanup) {
  if constexpr (std::is_void_v<T>) {
    co_await detail::finally(std::move(op), std::move(cleanup));
  } else {
    std::optional<T> out;
    Awaitable<void> kept = detail::keep<T>(std::move(op), out);
    co_await detail::finally(std::move(kept), std::move(cleanup));
    co_return std::move(*out);
  }
}

}  // namespace pn
