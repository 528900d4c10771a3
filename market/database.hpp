#pragma once

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/log.hpp"
#include "base/result.hpp"

#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

namespace soci {
class session;
}

namespace pn::market {

/// The kind of a failed statement: SQLITE_FULL is `full`, a constraint `rejected`, busy or locked
/// `retry`, a damaged file `corrupt`, all else `internal`. Codes "database_*".
Error from_soci(const std::exception& failure);

enum class Synchronous {
  normal,  ///< a crash of the process loses nothing; a power cut may lose the last instants
  full     ///< every answer waits for the disk
};

/// Whether a write's answer waits for the disk whatever Synchronous says: for what its sender
/// forgets with the answer (a job, a receipt), and for a record whose predecessor's bytes are
/// removed as soon as it stands.
enum class Durable { no, yes };

/// The market's SQLite file (WAL), through SOCI.
///
/// One writer thread takes all writes that wait, runs each inside its own savepoint of one
/// transaction, and commits once: what comes together shares a commit, what fails undoes only
/// itself. Two reader threads see the last commit. Functions given to it run on those threads, may
/// refer to the caller's frame, and must touch nothing of a loop; neither call is ended by
/// cancellation, which takes effect at the caller's next await.
class Database final {
 public:
  /// Creates or opens the file and applies the migrations. Blocks: call it before a loop runs. Kind
  /// `rejected` for a file of another program or of a newer market; from_soci's kinds.
  static Result<std::unique_ptr<Database>> open(const std::filesystem::path& file,
                                                const Clock& clock,
                                                const log::Logger& logger,
                                                Synchronous synchronous = Synchronous::normal);
  /// No call may be waiting. Writes what was accepted, joins the threads.
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  /// Answers once `work` is committed. An Error of `work` undoes all it wrote; so does an
  /// exception, which is rethrown here unless from_soci knows it. Name `work` before the await. One
  /// durable write makes all that share its commit durable, and all that came before it.
  template <class T>
  Awaitable<Result<T>> write(std::function<Result<T>(soci::session&)> work,
                             Durable durable = Durable::no) {
    std::optional<Result<T>> out;
    const Work kept = [&work, &out](soci::session& session) -> Result<void> {
      out.emplace(work(session));
      if (!out->ok()) return out->error();
      return {};
    };
    Result<void> done = co_await write_kept(kept, durable);
    if (!done.ok()) co_return std::move(done).error();
    co_return std::move(*out);
  }

  /// One consistent snapshot for all statements of `work`; writing is refused.
  template <class T>
  Awaitable<Result<T>> read(std::function<Result<T>(soci::session&)> work) {
    std::optional<Result<T>> out;
    const Work kept = [&work, &out](soci::session& session) -> Result<void> {
      out.emplace(work(session));
      if (!out->ok()) return out->error();
      return {};
    };
    Result<void> done = co_await read_kept(kept);
    if (!done.ok()) co_return std::move(done).error();
    co_return std::move(*out);
  }

  /// The same as write(), in this thread's time: for start-up, before a loop runs.
  template <class T>
  Result<T> write_now(const std::function<Result<T>(soci::session&)>& work) {
    std::optional<Result<T>> out;
    const Work kept = [&work, &out](soci::session& session) -> Result<void> {
      out.emplace(work(session));
      if (!out->ok()) return out->error();
      return {};
    };
    Result<void> done = write_blocking(kept);
    if (!done.ok()) return std::move(done).error();
    return std::move(*out);
  }

  /// Transactions committed so far: with the number of writes it tells how well they gather.
  [[nodiscard]] std::uint64_t commits() const;
  /// Those of them that waited for the disk because a write asked for it.
  [[nodiscard]] std::uint64_t durable_commits() const;

 private:
  using Work = std::function<Result<void>(soci::session&)>;
  struct Impl;
  explicit Database(std::unique_ptr<Impl> impl);

  Awaitable<Result<void>> write_kept(const Work& work, Durable durable);
  Awaitable<Result<void>> read_kept(const Work& work);
  Result<void> write_blocking(const Work& work);

  std::unique_ptr<Impl> impl_;
};

}  // namespace pn::market
