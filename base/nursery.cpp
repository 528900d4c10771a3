#include "base/nursery.hpp"

#include "base/awaitable.hpp"
#include "base/thrown.hpp"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <list>
#include <memory>
#include <string_view>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

namespace pn {
namespace {

/// Asio's own frame around a child that ends without ever having waited waits once itself, and
/// throws out of the loop when the child was cancelled by then: by itself, for one.
Awaitable<void> contain(Awaitable<void> child) {
  std::exception_ptr failure;
  try {
    co_await std::move(child);
  } catch (...) {
    failure = std::current_exception();
  }
  const asio::disable_cancellation from_here;
  co_await asio::this_coro::reset_cancellation_state(from_here);
  if (failure) std::rethrow_exception(failure);
}

}  // namespace

struct Nursery::State {
  struct Child {
    explicit Child(std::string_view n) : name(n) {}
    std::string name;
    asio::cancellation_signal signal;
    bool cancelled = false;
  };

  explicit State(Executor ex) : executor(std::move(ex)), emptied(executor, SteadyTimer::max()) {}

  void cancel() {
    // A signal's handlers only post, so no child leaves the list while we walk it.
    for (auto& child : children) {
      child.cancelled = true;
      child.signal.emit(asio::cancellation_type::terminal);
    }
  }

  /// As cancel(), and for what a child that unwinds may still spawn.
  void close() {
    closing = true;
    cancel();
  }

  void ended(std::list<Child>::iterator child, const std::exception_ptr& failure) {
    const bool expected = child->cancelled && failure && is_aborted(failure);
    children.erase(child);
    if (failure && !expected && !first_error) {
      first_error = failure;
      close();
    }
    if (children.empty()) emptied.cancel();
  }

  using SteadyTimer = std::chrono::steady_clock::time_point;
  Executor executor;
  std::list<Child> children;
  std::exception_ptr first_error;
  bool closing = false;
  asio::steady_timer emptied;
};

Nursery::Nursery(Executor executor) : state_(std::make_shared<State>(std::move(executor))) {}

Nursery::~Nursery() {
  if (state_->children.empty()) return;
  std::fprintf(
      stderr, "nursery destroyed with a live child: %s\n", state_->children.front().name.c_str());
  std::abort();
}

void Nursery::spawn(std::string_view name, Awaitable<void> child) {
  const auto at = state_->children.emplace(state_->children.end(), name);
  asio::co_spawn(state_->executor,
                 contain(std::move(child)),
                 asio::bind_cancellation_slot(
                     at->signal.slot(), [state = state_, at](const std::exception_ptr& failure) {
                       state->ended(at, failure);
                     }));
  if (!state_->closing) return;
  at->cancelled = true;
  at->signal.emit(asio::cancellation_type::terminal);
}

void Nursery::cancel() { state_->cancel(); }

std::size_t Nursery::live() const { return state_->children.size(); }

Awaitable<void> Nursery::join() {
  // The setting belongs to the caller's whole chain of coroutines, not to this frame: put it back.
  const bool throws = co_await asio::this_coro::throw_if_cancelled();
  co_await asio::this_coro::throw_if_cancelled(false);
  bool aborted = false;
  while (!state_->children.empty()) {
    co_await state_->emptied.async_wait(asio::as_tuple(asio::use_awaitable));
    const auto caller = co_await asio::this_coro::cancellation_state;
    if (caller.cancelled() != asio::cancellation_type::none && !aborted) {
      aborted = true;
      state_->close();
    }
  }
  co_await asio::this_coro::throw_if_cancelled(throws);
  state_->closing = false;
  if (aborted) throw boost::system::system_error(asio::error::operation_aborted);
  if (state_->first_error) {
    const std::exception_ptr failure = std::exchange(state_->first_error, nullptr);
    std::rethrow_exception(failure);
  }
}

Awaitable<void> shielded(Awaitable<void> op) {
  const Executor executor = co_await asio::this_coro::executor;
  // A separate frame with cancellation switched off; the caller's own state stays as it is.
  co_await asio::co_spawn(
      executor,
      std::move(op),
      asio::bind_cancellation_slot(asio::cancellation_slot(), asio::use_awaitable));
}

namespace detail {
namespace {

/// A coroutine on another loop, as its two loops see it. Asio's own way (co_spawn with
/// use_awaitable) posts a cancellation to that loop with a pointer into the caller's frame, which
/// is gone when the coroutine ended at the same moment; here both hold on to this.
struct Remote : std::enable_shared_from_this<Remote> {
  Remote(Executor there_, const Executor& here_)
      : there(std::move(there_)),
        here(here_),
        ended(here_, std::chrono::steady_clock::time_point::max()) {}

  void start(Awaitable<void> op) {
    asio::co_spawn(there,
                   std::move(op),
                   asio::bind_cancellation_slot(
                       signal.slot(), [self = shared_from_this()](std::exception_ptr thrown) {
                         self->over = true;
                         asio::post(self->here, [self, thrown = std::move(thrown)] {
                           self->done = true;
                           self->failure = thrown;
                           self->ended.cancel();
                         });
                       }));
  }

  void cancel() {
    asio::post(there, [self = shared_from_this()] {
      if (!self->over) self->signal.emit(asio::cancellation_type::terminal);
    });
  }

  const Executor there;
  const Executor here;
  // `there`'s
  asio::cancellation_signal signal;
  bool over = false;
  // `here`'s
  asio::steady_timer ended;
  bool done = false;
  std::exception_ptr failure;
};

}  // namespace

Awaitable<void> run_on(Executor executor, Awaitable<void> op) {
  const Executor here = co_await asio::this_coro::executor;
  const auto remote = std::make_shared<Remote>(std::move(executor), here);
  remote->start(std::move(op));
  // As in join().
  const bool throws = co_await asio::this_coro::throw_if_cancelled();
  co_await asio::this_coro::throw_if_cancelled(false);
  bool told = false;
  while (!remote->done) {
    const auto caller = co_await asio::this_coro::cancellation_state;
    if (caller.cancelled() != asio::cancellation_type::none && !std::exchange(told, true)) {
      remote->cancel();
    }
    co_await remote->ended.async_wait(asio::as_tuple(asio::use_awaitable));
  }
  co_await asio::this_coro::throw_if_cancelled(throws);
  if (remote->failure) std::rethrow_exception(remote->failure);
}

}  // namespace detail
}  // namespace pn
