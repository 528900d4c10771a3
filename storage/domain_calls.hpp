#pragma once

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/file.hpp"
#include "base/ids.hpp"
#include "base/log.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "base/retry.hpp"
#include "base/rng.hpp"
#include "http/client.hpp"
#include "storage/domain_json.hpp"
#include "storage/token_source.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

namespace pn::storage {

class Flights;
class InputCache;
class UploadJournal;

/// What the domain servers said of their limits, kept for 60 s: shared by the clients of one loop,
/// so that not every task asks anew.
class LimitsCache final {
 public:
  [[nodiscard]] std::optional<UploadLimits> find(const std::string& server, SteadyTime now) const;
  void keep(const std::string& server, UploadLimits limits, SteadyTime now);

 private:
  struct Entry {
    UploadLimits limits;
    SteadyTime until;
  };
  std::map<std::string, Entry> entries_;
};

struct DomainClientOptions {
  std::string client_id{};  ///< the header posemesh-client-id; empty: not sent
  std::uint32_t low_speed_bytes = 1024;
  std::chrono::seconds low_speed_time{30};
  std::chrono::milliseconds request_timeout{60'000};  ///< of calls that move no data
  std::size_t upload_parallel = 1;  ///< parts of one upload that are under way at a time
  int part_retries = 10;
  std::size_t download_parallel = 4;  ///< inputs at once
  std::uint64_t max_input_bytes = 0;  ///< of all inputs of a task; zero: no limit
  /// For calls, whole downloads and uploads in one request; counted from the first failure.
  RetryPolicy retry{.tries = 0};
  std::chrono::milliseconds retry_for{120'000};
  /// What servers ask for (Retry-After) is waited out beside that, so much of it in all: longer
  /// than the minutes in which rate limits and restarts pass, shorter than another node would take
  /// to do the task again. The most that http lets through is a day.
  std::chrono::milliseconds retry_after_most{600'000};
};

/// What a client is built from; all outlive it.
struct DomainClientParts {
  http::HttpClient& http;
  ThreadPool& files;  ///< file reads and writes; not the compute pool
  Clock& clock;
  Rng& rng;
  LimitsCache& limits;
  log::Logger logger{};
  InputCache* cache = nullptr;       ///< null: inputs are fetched each time
  Flights* flights = nullptr;        ///< of all who share the cache; null with it
  UploadJournal* journal = nullptr;  ///< null: an upload that is cut short is begun anew
  Flights* uploading = nullptr;      ///< its keys in use, of all who share it; null with it
};

/// Pauses between the tries of one thing, until its tries or its time are used up.
class Patience final {
 public:
  /// `time` counts from the first failure, without what the server asks for: that has `asked`.
  /// Without it the tries decide.
  Patience(Clock& clock,
           Rng& rng,
           RetryPolicy policy,
           std::optional<std::chrono::milliseconds> time,
           std::chrono::milliseconds asked)
      : clock_(clock),
        rng_(rng),
        backoff_(policy),
        time_(time),
        asked_(asked),
        asked_left_(asked) {}

  /// After a failure: true when it is to be tried again, having waited.
  Awaitable<bool> again(const Error& error);
  /// Something came before it failed: tries and time are counted anew.
  void progressed() {
    backoff_.reset();
    end_.reset();
    asked_left_ = asked_;
  }
  /// The try that failed moved bytes all that time: it is the line that is slow, and not the server
  /// that is away, so it is not counted. But nothing is counted anew: a server that fails after the
  /// last byte each time would be sent all of them for ever.
  void moved(SteadyTime::duration time) {
    if (end_) *end_ += time;
  }

 private:
  Clock& clock_;
  Rng& rng_;
  Backoff backoff_;
  const std::optional<std::chrono::milliseconds> time_;
  const std::chrono::milliseconds asked_;
  std::chrono::milliseconds asked_left_;
  std::optional<SteadyTime> end_;  ///< nothing before the first failure, and without a time
};

/// Requests to one domain: who we are, the newest token, one more try after a 401, retries. Knows
/// no call in particular.
class DomainCalls final {
 public:
  DomainCalls(DomainClientParts parts,
              http::Url server,
              DomainId domain,
              std::unique_ptr<TokenSource> tokens,
              DomainClientOptions options);

  [[nodiscard]] const DomainClientParts& parts() const { return parts_; }
  [[nodiscard]] const DomainClientOptions& options() const { return options_; }
  [[nodiscard]] const http::Url& server() const { return server_; }
  [[nodiscard]] const DomainId& domain() const { return domain_; }
  /// ".../api/v1/domains/{domain}/data"
  [[nodiscard]] const http::Url& data() const { return data_; }

  /// A call that carries JSON at most, with the time limit of such.
  [[nodiscard]] http::Request call(http::Method method, http::Url url) const;
  /// One that moves data: no time limit, but a lowest speed.
  [[nodiscard]] http::Request transfer(http::Method method, http::Url url) const;
  [[nodiscard]] Patience patience() const;
  /// Where the disk is full the cache gives way; empty without one. Not to be called after us.
  [[nodiscard]] MakeRoom make_room() const;

  /// With the newest token; after a 401 with a newer one once more, where there is one.
  Awaitable<Result<http::Response>> once(http::Request request);
  /// once(), again while the failure is of kind `retry` (501 is not: no feature appears by asking
  /// again) and `patience` lasts. Not for requests with a sink.
  Awaitable<Result<http::Response>> exchange(http::Request request, Patience& patience);
  /// With that of patience().
  Awaitable<Result<http::Response>> exchange(http::Request request);
  /// Asked before the request is sent again, for what may have been done though its answer was
  /// lost. False: it is not to be sent again, and the failure is the answer.
  using BeforeAgain = std::function<Awaitable<bool>()>;
  Awaitable<Result<http::Response>> exchange(http::Request request, BeforeAgain before_again);

 private:
  Awaitable<Result<http::Response>> exchange(http::Request request,
                                             Patience& patience,
                                             BeforeAgain before_again);

  DomainClientParts parts_;
  const DomainClientOptions options_;
  const http::Url server_;
  const DomainId domain_;
  const http::Url data_;
  const std::unique_ptr<TokenSource> tokens_;
};

/// A 2xx as it is, anything else as its Error.
Result<http::Response> success(Result<http::Response> answer);

}  // namespace pn::storage
