#pragma once

#include "base/file.hpp"
#include "base/offload.hpp"
#include "node/dms_client.hpp"
#include "node/metrics.hpp"
#include "node/outbox.hpp"
#include "node/task_run.hpp"
#include "runners/registry.hpp"
#include "runners/task_context.hpp"
#include "storage/ports.hpp"
#include "tests/node/fake_dms.hpp"
#include "tests/node/memory_journal.hpp"
#include "tests/support/fake_rng.hpp"
#include "tests/support/put_stream.hpp"
#include "tests/support/temp_folder.hpp"
#include "tests/support/test_loop.hpp"

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <stdlib.h>

namespace pn::node::testing {

/// A runner that is a function.
class FakeRunner final : public runners::Runner {
 public:
  using Body = std::function<Awaitable<Result<void>>(runners::TaskContext&)>;
  explicit FakeRunner(Body body) : body_(std::move(body)) {}
  Awaitable<Result<void>> run(runners::TaskContext& task) override { return body_(task); }

 private:
  Body body_;
};

inline Awaitable<Result<void>> succeed(runners::TaskContext&) { co_return Result<void>(); }

inline Awaitable<Result<void>> sleep_long(runners::TaskContext& task) {
  co_await task.clock().sleep_for(std::chrono::hours(1));
  co_return Result<void>();
}

/// The inputs of a task that has none.
struct NoInputs final : storage::InputPort {
  Awaitable<Result<storage::Input>> fetch(Cid cid) override {
    co_return Error(ErrorKind::not_found, "no_input", cid.str());
  }
  Awaitable<Result<std::vector<storage::Input>>> fetch_all(std::vector<Cid> cids) override {
    if (cids.empty()) co_return std::vector<storage::Input>();
    co_return Error(ErrorKind::not_found, "no_input", cids.front().str());
  }
};

/// Ports in memory. A put takes the token that is current then.
class FakePorts final : public TaskPortsFactory {
 public:
  std::optional<Error> failure;            ///< of make()
  std::optional<Error> put_failure;        ///< of every put
  std::vector<std::string> tokens_seen;    ///< one a put
  storage::TokenSource* tokens = nullptr;  ///< of the last task
  int closed = 0;                          ///< outputs, after their runners

  Result<TaskPorts> make(const PortsOrder& order) override {
    if (failure) return *failure;
    tokens = &order.tokens;
    TaskPorts out;
    out.inputs = std::make_unique<NoInputs>();
    out.outputs = std::make_unique<Outputs>(*this, order.tokens);
    return out;
  }

 private:
  struct Outputs final : storage::ArtifactPort {
    Outputs(FakePorts& o, storage::TokenSource& t) : owner(o), source(t) {}
    Awaitable<Result<storage::Artifact>> put_file(std::string rel_path,
                                                  std::filesystem::path,
                                                  storage::PutOptions) override {
      owner.tokens_seen.push_back(source.current().reveal());
      if (owner.put_failure) co_return *owner.put_failure;
      all.push_back({rel_path, rel_path, "binary", DataId("id-" + rel_path)});
      co_return all.back();
    }
    Awaitable<Result<storage::Artifact>> put_bytes(std::string rel_path,
                                                   std::string,
                                                   storage::PutOptions) override {
      owner.tokens_seen.push_back(source.current().reveal());
      if (owner.put_failure) co_return *owner.put_failure;
      all.push_back({rel_path, rel_path, "binary", DataId("id-" + rel_path)});
      co_return all.back();
    }
    Awaitable<Result<std::unique_ptr<storage::ArtifactStream>>> open_stream(
        std::string path, storage::PutOptions options) override {
      co_return pn::testing::PutStream::open(*this, std::move(path), std::move(options));
    }
    [[nodiscard]] std::vector<storage::Artifact> artifacts() const override { return all; }
    Awaitable<void> close() override {
      ++owner.closed;
      co_return;
    }
    FakePorts& owner;
    storage::TokenSource& source;
    std::vector<storage::Artifact> all;
  };
};

/// Everything a task needs, on one loop of virtual time and a DMS that is a table.
struct NodeFixture {
  pn::testing::TestLoop loop;
  pn::testing::FakeRng rng;
  pn::testing::TempFolder dir;
  ThreadPool pool{"test", 1};
  FakeDms dms{loop.clock};
  FakeTokens tokens;
  DmsClient client{
      dms, tokens, loop.clock, rng, DmsOptions(http::Url::parse("https://dms.example/v1").value())};
  std::vector<std::string> log_lines;
  log::Logger logger{log::Options{.level = log::Level::debug, .format = log::Format::text},
                     [this](log::Level, std::string_view line) { log_lines.emplace_back(line); }};
  FakePorts ports;
  runners::Registry registry;
  Config config;
  Metrics metrics;
  MemoryJournal journal;
  Outbox outbox{OutboxParts{loop.executor(), journal, client, loop.clock, rng, metrics, logger},
                std::chrono::hours(168)};
  std::unique_ptr<TaskParts> made_parts;
  std::unique_ptr<pn::testing::Started> sender;

  NodeFixture() {
    config.work_dir = dir.path;
    // This machine's disk is no part of a test.
    config.disk_min_free_mb = 0;
    config.disk_max_used_pct = 100;
    config.inode_max_used_pct = 100;
    config.long_poll = std::chrono::seconds(0);
    dms.on_heartbeat = [this](const Json&) { return renewed(); };
    sender = std::make_unique<pn::testing::Started>(loop, outbox.run());
  }
  ~NodeFixture() {
    sender->cancel();
    poll_until([this] { return sender->done(); });
  }
  NodeFixture(const NodeFixture&) = delete;
  NodeFixture& operator=(const NodeFixture&) = delete;

  TaskParts& parts() {
    if (!made_parts) {
      made_parts = std::make_unique<TaskParts>(TaskParts{loop.executor(),
                                                         loop.executor(),
                                                         pool,
                                                         pool,
                                                         loop.clock,
                                                         rng,
                                                         client,
                                                         outbox,
                                                         ports,
                                                         registry,
                                                         config,
                                                         metrics,
                                                         logger});
    }
    return *made_parts;
  }

  void add(FakeRunner::Body body, const std::string& capability = "/noop/v1") {
    registry.add(Capability(capability), std::make_shared<FakeRunner>(std::move(body)));
  }
  Reply renewed(Json more = Json::object()) {
    more["lease_expires_at"] = format_rfc3339(loop.clock.system_now() + std::chrono::seconds(30));
    return Reply(200, more);
  }
  Lease lease(Json body = Json()) {
    if (body.is_null()) body = envelope(loop.clock, "t1");
    dms.claims.push_back(Reply(200, std::move(body)));
    Lease out = *loop.run(client.claim())->lease;
    dms.calls.clear();
    return out;
  }
  /// The loop, with what the pool hands back, until `done` or two seconds have passed.
  void poll_until(const std::function<bool()>& done) {
    loop.poll();
    loop.run_until(done, std::chrono::seconds(2));
  }
  [[nodiscard]] bool logged(std::string_view event) const {
    for (const std::string& line : log_lines) {
      if (line.find(event) != std::string::npos) return true;
    }
    return false;
  }
  [[nodiscard]] std::size_t workspaces() const {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(dir.path)) {
      if (entry.is_directory()) ++count;
    }
    return count;
  }
};

}  // namespace pn::node::testing
