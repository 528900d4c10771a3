#pragma once

#include "base/awaitable.hpp"
#include "base/ids.hpp"
#include "base/log.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"
#include "base/system_clock.hpp"
#include "http/client.hpp"
#include "http/url.hpp"
#include "storage/domain_calls.hpp"
#include "storage/domain_client.hpp"
#include "storage/domain_json.hpp"
#include "storage/flights.hpp"
#include "storage/input_cache.hpp"
#include "storage/token_source.hpp"
#include "storage/upload_journal.hpp"
#include "tests/support/fake_rng.hpp"
#include "tests/support/test_loop.hpp"

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace pn::testing {

/// The token of a test: a new one may come while somebody waits.
class SteppedTokens final : public storage::TokenSource {
 public:
  explicit SteppedTokens(std::vector<std::string> tokens) : tokens_(std::move(tokens)) {}
  [[nodiscard]] Secret<std::string> current() override {
    return Secret<std::string>(tokens_.front());
  }
  Awaitable<bool> wait_newer(const Secret<std::string>& used) override {
    if (used.reveal() != tokens_.front()) co_return true;
    if (tokens_.size() == 1) co_return false;
    tokens_.erase(tokens_.begin());
    co_return true;
  }

 private:
  std::vector<std::string> tokens_;
};

struct UploadSettings {
  std::size_t parallel = 1;
  storage::UploadJournal* journal = nullptr;
  std::chrono::seconds low_speed_time{30};
  log::Logger logger{};
};

/// A client of a server's domain "d1", with the machine's clock and short pauses.
class DomainWorld {
 public:
  explicit DomainWorld(TestLoop& l,
                       const http::Url& server,
                       std::vector<std::string> tokens = {"t1"},
                       storage::DomainClientOptions options = quick())
      : loop(l), http(*http::make_http_client(l.executor(), {})) {
    client = another(server, std::move(tokens), std::move(options));
  }
  DomainWorld(TestLoop& l,
              const http::Url& server,
              std::vector<std::string> tokens,
              const UploadSettings& uploads)
      : loop(l),
        http(*http::make_http_client(l.executor(), {})),
        journal(uploads.journal),
        logger(uploads.logger) {
    storage::DomainClientOptions options = quick();
    options.upload_parallel = uploads.parallel;
    options.low_speed_time = uploads.low_speed_time;
    client = another(server, std::move(tokens), std::move(options));
  }

  static storage::DomainClientOptions quick() {
    storage::DomainClientOptions options;
    options.client_id = "test-client";
    options.retry.first = Millis(1);
    options.retry.max = Millis(5);
    options.retry.tries = 4;
    options.part_retries = 3;
    return options;
  }
  /// Another task's client, beside the first.
  std::shared_ptr<storage::DomainClient> another(const http::Url& server,
                                                 std::vector<std::string> tokens = {"t1"},
                                                 storage::DomainClientOptions options = quick()) {
    const storage::DomainClientParts parts{*http,
                                           pool,
                                           clock,
                                           rng,
                                           limits,
                                           logger,
                                           cache,
                                           cache != nullptr ? &flights : nullptr,
                                           journal,
                                           journal != nullptr ? &uploading : nullptr};
    return std::make_shared<storage::DomainClient>(
        parts,
        server,
        DomainId("d1"),
        std::make_unique<SteppedTokens>(std::move(tokens)),
        std::move(options));
  }

  template <class T>
  T run(Awaitable<T> op) {
    return loop.run(std::move(op));
  }
  Result<storage::DataItem> upload(std::string name, std::string type, std::string bytes) {
    storage::UploadOrder order;
    order.name = std::move(name);
    order.data_type = std::move(type);
    order.bytes = std::move(bytes);
    return run(client->upload(std::move(order)));
  }

  TestLoop& loop;
  std::unique_ptr<http::HttpClient> http;
  ThreadPool pool{"files", 2};
  SystemClock clock;
  FakeRng rng;
  storage::LimitsCache limits;
  storage::InputCache* cache = nullptr;  ///< of those that come after it is set
  storage::Flights flights;
  storage::UploadJournal* journal = nullptr;
  storage::Flights uploading;
  log::Logger logger{};
  std::shared_ptr<storage::DomainClient> client;
};

}  // namespace pn::testing
