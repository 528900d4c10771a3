#pragma once

#include "base/clock.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "http/server.hpp"

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace pn::testing {

/// DDS, DMS and a domain server on a loopback port, as far as a node sees them: register, sign in,
/// lease, heartbeat, upload, report. Every answer can be scripted; everything is kept in order. It
/// knows nothing of jobs: leases are handed out as they were offered. Thread: one loop's.
class FakeMarketplace final {
 public:
  struct Call {
    std::string method;
    std::string path;
    std::string bearer;
    std::string body;
    http::Headers headers;
    [[nodiscard]] Json json() const;
  };
  struct Answer {
    int status = 200;
    std::string body = "{}";
    std::chrono::milliseconds after{0};
  };
  /// Nothing: the usual answer.
  using Script = std::function<std::optional<Answer>(const Call&)>;

  FakeMarketplace(Executor executor, Clock& clock);
  ~FakeMarketplace();

  Awaitable<void> run();
  void request_stop();

  /// "http://127.0.0.1:PORT"
  [[nodiscard]] std::string url() const;

  /// A lease for the next GET /tasks. `more` is merged into the envelope, `task` into its task.
  void offer(std::string_view task_id, Json more = Json::object(), Json task = Json::object());

  Script on_register;
  Script on_sign_in;
  Script on_claim;
  Script on_heartbeat;
  Script on_receipt;
  Script on_upload;
  Script on_health;
  Script on_jobs;  ///< GET /v1/jobs; usually 401, as without a grant
  std::chrono::milliseconds lease_ttl{30'000};

  std::vector<Call> calls;
  /// Those whose path ends with `end`, in order.
  [[nodiscard]] std::vector<Call> of(std::string_view end) const;
  /// Uploads (the creating POST of the domain server).
  [[nodiscard]] std::vector<Call> uploads() const;

 private:
  using Usual = std::function<Answer(const Call&)>;
  void add(http::Router& router,
           http::Method method,
           std::string_view pattern,
           Script FakeMarketplace::* script,
           Usual usual);
  Awaitable<http::ServerResponse> serve(http::ServerRequest& request,
                                        Script FakeMarketplace::* script,
                                        Usual usual);
  http::Router routes();
  Answer claim();
  Answer renew() const;
  [[nodiscard]] std::string in(std::chrono::milliseconds from_now) const;

  Clock& clock_;
  std::deque<Json> offers_;
  int tokens_ = 0;
  int stored_ = 0;
  std::unique_ptr<http::Server> server_;
};

}  // namespace pn::testing
