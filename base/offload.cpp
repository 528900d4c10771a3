#include "base/offload.hpp"

#include "base/awaitable.hpp"

#include <atomic>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <pthread.h>

namespace pn {

struct ThreadPool::Impl {
  explicit Impl(std::size_t count)
      : context(static_cast<int>(count)), guard(asio::make_work_guard(context)) {}
  asio::io_context context;
  asio::executor_work_guard<asio::io_context::executor_type> guard;
  std::vector<std::thread> threads;
  std::atomic<std::size_t> busy{0};
};

ThreadPool::ThreadPool(std::string_view name, std::size_t threads)
    : impl_(std::make_unique<Impl>(threads)) {
  const std::string short_name(name.substr(0, 15));
  for (std::size_t i = 0; i < threads; ++i) {
    impl_->threads.emplace_back([this, short_name] {
      pthread_setname_np(pthread_self(), short_name.c_str());
      impl_->context.run();
    });
  }
}

ThreadPool::~ThreadPool() {
  impl_->guard.reset();
  for (auto& thread : impl_->threads) thread.join();
}

Executor ThreadPool::executor() const { return impl_->context.get_executor(); }

std::size_t ThreadPool::busy() const { return impl_->busy; }

namespace detail {
namespace {
Awaitable<void> call(const std::function<void()>& work) {
  work();
  co_return;
}

struct Counted {
  explicit Counted(std::atomic<std::size_t>& c) : count(c) { ++count; }
  ~Counted() { --count; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  std::atomic<std::size_t>& count;
};
}  // namespace

Awaitable<void> run_on_pool(ThreadPool& pool, const std::function<void()>& work) {
  const Counted counted(pool.impl_->busy);
  const Executor executor = pool.executor();
  co_await asio::co_spawn(
      executor,
      call(work),
      asio::bind_cancellation_slot(asio::cancellation_slot(), asio::use_awaitable));
}

Awaitable<void> run_on_pool(ThreadPool& pool,
                            const std::function<void()>& work,
                            std::atomic<bool>& stop) {
  const auto state = co_await asio::this_coro::cancellation_state;
  asio::cancellation_slot slot = state.slot();
  // Nothing else uses the slot meanwhile: the wait below has none.
  if (slot.is_connected()) slot.assign([&stop](asio::cancellation_type) { stop = true; });
  if (state.cancelled() != asio::cancellation_type::none) stop = true;  // before we came
  std::exception_ptr thrown;
  try {
    co_await run_on_pool(pool, work);
  } catch (...) {
    thrown = std::current_exception();
  }
  if (slot.is_connected()) slot.clear();
  if (stop) throw boost::system::system_error(asio::error::operation_aborted);
  if (thrown) std::rethrow_exception(thrown);
}

}  // namespace detail
}  // namespace pn
