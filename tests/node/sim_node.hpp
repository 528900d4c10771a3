#pragma once

#include "base/awaitable.hpp"
#include "base/json.hpp"
#include "base/log.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "http/client.hpp"
#include "node/config.hpp"
#include "node/dms_client.hpp"
#include "node/engine.hpp"
#include "node/metrics.hpp"
#include "node/outbox.hpp"
#include "node/task_run.hpp"
#include "runners/registry.hpp"
#include "tests/node/fake_dms.hpp"
#include "tests/node/memory_journal.hpp"
#include "tests/node/node_fixture.hpp"
#include "tests/node/sim_dms.hpp"
#include "tests/support/fake_rng.hpp"
#include "tests/support/put_stream.hpp"
#include "tests/support/test_loop.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace pn::node::testing {

/// The way from one node to DMS, and what goes wrong on it.
class SimNet final : public http::HttpClient {
 public:
  SimNet(
      pn::testing::TestLoop& loop, SimDms& dms, std::string node, std::uint64_t seed, double rate)
      : loop_(loop), dms_(dms), node_(std::move(node)), rng_(seed), rate_(rate) {}

  bool cut = false;   ///< a partition: nothing arrives
  bool gone = false;  ///< the node has crashed: nothing is even sent
  std::size_t faults = 0;

  Awaitable<Result<http::Response>> send(http::Request request) override {
    if (gone) co_return lost();
    if (cut) {
      co_await loop_.clock.sleep_for(uniform(rng_, Millis(1), Millis(3000)));
      co_return lost();
    }
    const bool harmed = uniform(rng_, 0.0, 1.0) < rate_;
    const auto how = harmed ? uniform(rng_, std::uint64_t{0}, std::uint64_t{6}) : std::uint64_t{99};
    if (harmed) ++faults;
    if (how == 0) {  // the request is lost
      co_await loop_.clock.sleep_for(uniform(rng_, Millis(0), Millis(3000)));
      co_return lost();
    }
    if (how == 1) co_return json_answer(503, "");
    if (how == 2) co_return json_answer(502, "<html>");
    if (how == 3) co_await loop_.clock.sleep_for(uniform(rng_, Millis(1), Millis(8000)));
    if (cut || gone) co_return lost();
    const Reply reply = act(request);
    if (how == 4) {  // the server acted, and nobody hears of it
      co_await loop_.clock.sleep_for(uniform(rng_, Millis(0), Millis(3000)));
      co_return lost();
    }
    if (how == 5) co_return json_answer(200, "<html>");
    if (how == 6 && reply.status == 200) last_ = reply;  // to come a second time
    if (cut || gone) co_return lost();
    co_return json_answer(reply.status, reply.body);
  }

 private:
  Reply act(const http::Request& request) {
    const std::string path = request.url.path();
    if (path.ends_with("/tasks")) {
      // A lease that is given out twice, as a proxy that repeats an answer does.
      if (last_ && last_->body.find("\"access_token\"") != std::string::npos) {
        return *std::exchange(last_, std::nullopt);
      }
      return dms_.claim(node_);
    }
    const std::size_t end = path.rfind('/');
    const std::size_t begin = path.rfind('/', end - 1) + 1;
    const std::string id = path.substr(begin, end - begin);
    const Json body = *parse_json(request.body);
    const std::string verb = path.substr(end + 1);
    if (verb == "heartbeat") return dms_.heartbeat(node_, id, body);
    return verb == "complete" ? dms_.complete(node_, id, body) : dms_.fail(node_, id, body);
  }
  static Error lost() { return {ErrorKind::retry, "curl_recv_error", "the connection is gone"}; }

  pn::testing::TestLoop& loop_;
  SimDms& dms_;
  const std::string node_;
  pn::testing::FakeRng rng_;
  const double rate_;
  std::optional<Reply> last_;
};

/// Outputs that DMS is told of, each with an id of its own.
class SimPorts final : public TaskPortsFactory {
 public:
  SimPorts(SimDms& dms, std::string node) : dms_(dms), node_(std::move(node)) {}

  Result<TaskPorts> make(const PortsOrder& order) override {
    TaskPorts out;
    out.inputs = std::make_unique<NoInputs>();
    out.outputs = std::make_unique<Outputs>(*this, order);
    return out;
  }

 private:
  struct Outputs final : storage::ArtifactPort {
    Outputs(SimPorts& o, const PortsOrder& order) : owner(o), info(order.info) {}
    Awaitable<Result<storage::Artifact>> put_file(std::string path,
                                                  std::filesystem::path,
                                                  storage::PutOptions options) override {
      return put_bytes(std::move(path), std::string(), options);
    }
    Awaitable<Result<storage::Artifact>> put_bytes(std::string path,
                                                   std::string,
                                                   storage::PutOptions) override {
      owner.dms_.wrote(owner.node_, info.id.str(), info.attempt);
      all.push_back({path, path, "binary", DataId("id-" + std::to_string(++serial()))});
      co_return all.back();
    }
    Awaitable<Result<std::unique_ptr<storage::ArtifactStream>>> open_stream(
        std::string path, storage::PutOptions options) override {
      co_return pn::testing::PutStream::open(*this, std::move(path), std::move(options));
    }
    [[nodiscard]] std::vector<storage::Artifact> artifacts() const override { return all; }
    Awaitable<void> close() override { co_return; }
    static std::uint64_t& serial() {
      static std::uint64_t next = 0;
      return next;
    }
    SimPorts& owner;
    const runners::TaskInfo& info;
    std::vector<storage::Artifact> all;
  };

  SimDms& dms_;
  const std::string node_;
};

/// A node that can crash: all of it but its network and its disk is made anew.
class SimNode final {
 public:
  SimNode(pn::testing::TestLoop& loop,
          SimDms& dms,
          ThreadPool& pool,
          const Config& config,
          std::string name,
          std::uint64_t seed,
          double rate)
      : loop_(loop),
        pool_(pool),
        config_(config),
        rng_(seed),
        net(loop, dms, name, seed + 1, rate),
        ports_(dms, name) {
    registry_.add(
        Capability("/noop/v1"),
        std::make_shared<FakeRunner>([this](runners::TaskContext& task) { return work(task); }));
    start();
  }
  ~SimNode() { crash(); }

  void start() {
    net.gone = false;
    journal_.failure.reset();
    life_ = std::make_unique<Life>(*this);
    life_->outbox.adopt(journal_.load());
    life_->sender = std::make_unique<pn::testing::Started>(loop_, life_->outbox.run());
    life_->running = std::make_unique<pn::testing::Started>(loop_, run(*life_));
  }
  /// As kill -9: nothing is sent and nothing is written any more.
  void crash() {
    if (!life_) return;
    net.gone = true;
    journal_.failure = Error(ErrorKind::internal, "dead", "the process is dead");
    life_->running->cancel();
    life_->sender->cancel();
    loop_.poll();
    while (!life_->running->done() || !life_->sender->done()) loop_.advance(Millis(1));
    life_.reset();
  }
  [[nodiscard]] bool idle() const {
    return life_->engine.busy() == 0 && life_->outbox.status().pending == 0;
  }

 private:
  struct Life {
    explicit Life(SimNode& n)
        : client(n.net,
                 tokens,
                 n.loop_.clock,
                 n.rng_,
                 DmsOptions(http::Url::parse("http://dms/v1").value())),
          outbox(OutboxParts{n.loop_.executor(),
                             n.journal_,
                             client,
                             n.loop_.clock,
                             n.rng_,
                             metrics,
                             log::Logger()},
                 std::chrono::hours(168)),
          parts{n.loop_.executor(),
                n.loop_.executor(),
                n.pool_,
                n.pool_,
                n.loop_.clock,
                n.rng_,
                client,
                outbox,
                n.ports_,
                n.registry_,
                n.config_,
                metrics,
                log::Logger()},
          engine(parts) {}
    FakeTokens tokens;
    Metrics metrics;
    DmsClient client;
    Outbox outbox;
    TaskParts parts;
    Engine engine;
    std::unique_ptr<pn::testing::Started> sender;
    std::unique_ptr<pn::testing::Started> running;
  };

  static Awaitable<void> run(Life& life) {
    co_await life.outbox.replayed();
    co_await life.engine.run();
  }

  Awaitable<Result<void>> work(runners::TaskContext& task) {
    const auto steps = uniform(rng_, std::uint64_t{1}, std::uint64_t{4});
    for (std::uint64_t i = 0; i < steps; ++i) {
      co_await task.clock().sleep_for(uniform(rng_, Millis(50), Millis(1500)));
      const std::string name = "out-" + std::to_string(i);
      const storage::PutOptions options;
      const Result<storage::Artifact> put =
          co_await task.outputs().put_bytes(name, std::string(), options);
      if (!put) co_return put.error();
    }
    const auto luck = uniform(rng_, std::uint64_t{0}, std::uint64_t{99});
    if (luck == 0) co_return Error(ErrorKind::retry, "unlucky", "this attempt fails");
    if (luck == 1) co_await task.clock().sleep_for(std::chrono::seconds(60));  // a long one
    co_return Result<void>();
  }

  pn::testing::TestLoop& loop_;
  ThreadPool& pool_;
  const Config& config_;
  pn::testing::FakeRng rng_;

 public:
  SimNet net;

 private:
  SimPorts ports_;
  MemoryJournal journal_;
  runners::Registry registry_;
  std::unique_ptr<Life> life_;
};

}  // namespace pn::node::testing
