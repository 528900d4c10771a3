#include "market/database.hpp"

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/log.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "market/migrations.hpp"
#include "market/sqlite.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <boost/asio/async_result.hpp>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <pthread.h>
#include <soci/soci.h>

namespace pn::market {
namespace {

constexpr std::size_t kReaders = 2;

/// A suspended caller, or a blocked one.
class Waiter {
 public:
  virtual ~Waiter() = default;
  virtual void wake() = 0;
};

template <class Handler>
class LoopWaiter final : public Waiter {
 public:
  explicit LoopWaiter(Handler handler)
      : handler_(std::move(handler)),
        executor_(asio::prefer(asio::get_associated_executor(handler_),
                               asio::execution::outstanding_work.tracked)) {}
  void wake() override { asio::post(executor_, std::move(handler_)); }

 private:
  Handler handler_;
  // Tracked work keeps the caller's loop running while only this thread has something to do for it.
  std::decay_t<decltype(asio::prefer(asio::get_associated_executor(std::declval<Handler&>()),
                                     asio::execution::outstanding_work.tracked))>
      executor_;
};

class ThreadWaiter final : public Waiter {
 public:
  void wake() override {
    const std::lock_guard lock(mutex_);
    woken_ = true;
    changed_.notify_one();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return woken_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool woken_ = false;
};

/// One accepted write. Lives in the caller's frame until it is woken.
struct Pending {
  const std::function<Result<void>(soci::session&)>* work = nullptr;
  Durable durable = Durable::no;
  Result<void> outcome;
  std::exception_ptr failure;
  std::unique_ptr<Waiter> loop_waiter;
  Waiter* waiter = nullptr;
};

/// Runs `work`, turning what SOCI throws into an Error and keeping what else it throws.
void run(soci::session& session, Pending& pending) {
  try {
    pending.outcome = (*pending.work)(session);
  } catch (const soci::soci_error& failure) {
    pending.outcome = from_soci(failure);
  } catch (...) {
    pending.failure = std::current_exception();
    pending.outcome = Error(ErrorKind::internal, "database_work_threw", "the work threw");
  }
}

}  // namespace

Error from_soci(const std::exception& failure) { return from_sqlite(failure); }

struct Database::Impl {
  Impl(std::unique_ptr<soci::session> w,
       std::vector<std::unique_ptr<soci::session>> r,
       Synchronous usual)
      : writer(std::move(w)),
        usual_synchronous(usual),
        synchronous(usual),
        free_readers(std::move(r)),
        pool("market-read", kReaders) {
    thread = std::thread([this] {
      pthread_setname_np(pthread_self(), "market-write");
      write_loop();
    });
  }

  ~Impl() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
    }
    arrived.notify_one();
    thread.join();
  }

  void accept(Pending* pending) {
    {
      const std::lock_guard lock(mutex);
      queue.push_back(pending);
    }
    arrived.notify_one();
  }

  void write_loop() {
    std::vector<Pending*> batch;
    for (;;) {
      {
        std::unique_lock lock(mutex);
        arrived.wait(lock, [this] { return stopping || !queue.empty(); });
        if (queue.empty()) return;
        batch.assign(queue.begin(), queue.end());
        queue.clear();
      }
      run_batch(batch);
      for (Pending* pending : batch) {
        // The caller's frame, and with it `pending`, is gone as soon as it is woken.
        const std::unique_ptr<Waiter> kept = std::move(pending->loop_waiter);
        pending->waiter->wake();
      }
    }
  }

  /// One transaction for all. On return each outcome stands.
  void run_batch(const std::vector<Pending*>& batch) {
    const bool durable = std::ranges::any_of(
        batch, [](const Pending* pending) { return pending->durable == Durable::yes; });
    try {
      wait_for_disk(durable);
      execute(*writer, "BEGIN IMMEDIATE");
    } catch (const std::exception& failure) {
      return fail_all(batch, from_sqlite(failure));
    }
    const bool alone = batch.size() == 1;
    for (Pending* pending : batch) {
      if (!run_one(*pending, alone)) return fail_all(batch, pending->outcome.error());
    }
    if (alone && !batch.front()->outcome.ok()) return;
    try {
      execute(*writer, "COMMIT");
      ++commits;
      if (durable) ++durable_commits;
    } catch (const std::exception& failure) {
      roll_back();
      fail_all(batch, from_sqlite(failure));
    }
  }

  /// Sets how the next transaction commits; SQLite refuses to change it inside one.
  void wait_for_disk(bool durable) {
    const Synchronous wanted = durable ? Synchronous::full : usual_synchronous;
    if (wanted == synchronous) return;
    set_synchronous(*writer, wanted == Synchronous::full);
    synchronous = wanted;
  }

  /// False: SQLite gave up the whole transaction (disk full, I/O error), so what others of the
  /// batch wrote is gone too.
  bool run_one(Pending& pending, bool alone) {
    try {
      if (!alone) execute(*writer, "SAVEPOINT one");
      run(*writer, pending);
      if (in_transaction(*writer)) {
        if (alone) {
          if (!pending.outcome.ok()) execute(*writer, "ROLLBACK");
        } else {
          if (!pending.outcome.ok()) execute(*writer, "ROLLBACK TO one");
          execute(*writer, "RELEASE one");
        }
        return true;
      }
      if (pending.outcome.ok()) {
        pending.outcome = Error(
            ErrorKind::internal, "database_rolled_back", "the transaction ended inside the work");
      }
      return false;
    } catch (const std::exception& failure) {
      pending.outcome = from_sqlite(failure);
      roll_back();
      return false;
    }
  }

  void roll_back() {
    if (!in_transaction(*writer)) return;
    try {
      execute(*writer, "ROLLBACK");
    } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): the next BEGIN says it
    }
  }

  static void fail_all(const std::vector<Pending*>& batch, const Error& error) {
    // NOLINTNEXTLINE(performance-unnecessary-copy-initialization): `error` may be one of those
    const Error kept = error;
    for (Pending* pending : batch) {
      if (pending->outcome.ok()) pending->outcome = kept;
    }
  }

  // Only the writer thread uses `writer` once the threads run.
  std::unique_ptr<soci::session> writer;
  const Synchronous usual_synchronous;
  Synchronous synchronous;  // as the writer's session has it
  std::atomic<std::uint64_t> commits{0};
  std::atomic<std::uint64_t> durable_commits{0};

  std::mutex mutex;
  std::condition_variable arrived;
  std::deque<Pending*> queue;
  bool stopping = false;

  std::mutex readers_mutex;
  std::vector<std::unique_ptr<soci::session>> free_readers;

  ThreadPool pool;
  std::thread thread;
};

Database::Database(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Database::~Database() = default;

Result<std::unique_ptr<Database>> Database::open(const std::filesystem::path& file,
                                                 const Clock& clock,
                                                 const log::Logger& logger,
                                                 Synchronous synchronous) {
  try {
    auto writer = open_session(file, synchronous == Synchronous::full);
    Result<void> migrated = migrate(*writer, migrations(), clock, logger);
    if (!migrated.ok()) return std::move(migrated).error();
    std::vector<std::unique_ptr<soci::session>> readers;
    for (std::size_t i = 0; i < kReaders; ++i) {
      readers.push_back(open_session(file, false));
      execute(*readers.back(), "PRAGMA query_only=ON");
    }
    return std::unique_ptr<Database>(
        new Database(std::make_unique<Impl>(std::move(writer), std::move(readers), synchronous)));
  } catch (const soci::soci_error& failure) {
    return within("opening the database " + file.string(), from_sqlite(failure));
  }
}

namespace {
/// Hands a pending write to the writer, with the coroutine's handler to wake. Holds pointers only:
/// g++ 12 miscompiles initiations that own something.
template <class Impl>
struct Hand {
  Impl* impl;
  Pending* pending;
  template <class Handler>
  void operator()(Handler&& handler) const {
    pending->loop_waiter =
        std::make_unique<LoopWaiter<std::decay_t<Handler>>>(std::forward<Handler>(handler));
    pending->waiter = pending->loop_waiter.get();
    impl->accept(pending);
  }
};
}  // namespace

Awaitable<Result<void>> Database::write_kept(const Work& work, Durable durable) {
  Pending pending;
  pending.work = &work;
  pending.durable = durable;
  const Hand<Impl> hand{.impl = impl_.get(), .pending = &pending};
  co_await asio::async_initiate<const asio::use_awaitable_t<>, void()>(hand, asio::use_awaitable);
  if (pending.failure) std::rethrow_exception(pending.failure);
  co_return std::move(pending.outcome);
}

Result<void> Database::write_blocking(const Work& work) {
  Pending pending;
  ThreadWaiter waiter;
  pending.work = &work;
  pending.waiter = &waiter;
  impl_->accept(&pending);
  waiter.wait();
  if (pending.failure) std::rethrow_exception(pending.failure);
  return std::move(pending.outcome);
}

Awaitable<Result<void>> Database::read_kept(const Work& work) {
  Pending pending;
  pending.work = &work;
  Impl* const impl = impl_.get();
  const auto reading = [impl, &pending] {
    std::unique_ptr<soci::session> session;
    {
      // As many sessions as pool threads: there is always one.
      const std::lock_guard lock(impl->readers_mutex);
      session = std::move(impl->free_readers.back());
      impl->free_readers.pop_back();
    }
    try {
      execute(*session, "BEGIN");
      run(*session, pending);
      execute(*session, "COMMIT");
    } catch (const std::exception& failure) {
      if (pending.outcome.ok()) pending.outcome = from_sqlite(failure);
    }
    const std::lock_guard lock(impl->readers_mutex);
    impl->free_readers.push_back(std::move(session));
  };
  co_await offload(impl->pool, reading);
  if (pending.failure) std::rethrow_exception(pending.failure);
  co_return std::move(pending.outcome);
}

std::uint64_t Database::commits() const { return impl_->commits; }
std::uint64_t Database::durable_commits() const { return impl_->durable_commits; }

}  // namespace pn::market
