#pragma once

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/log.hpp"
#include "base/offload.hpp"
#include "node/heartbeat_loop.hpp"
#include "node/task_ports.hpp"
#include "node/workspace.hpp"
#include "runners/task_context.hpp"
#include "storage/task_token.hpp"
#include "storage/token_source.hpp"

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace pn::node {

/// The way from a runner (transfer loop) to the heartbeats of its lease (control loop).
class BeatLink final {
 public:
  BeatLink(Executor control, HeartbeatLoop& beats);
  ~BeatLink() { cut(); }
  BeatLink(const BeatLink&) = delete;
  BeatLink& operator=(const BeatLink&) = delete;

  // From the transfer loop: posted, in order.
  void progress(std::string json);
  void event(std::string json);
  void renew_token(std::function<void()> done);

  /// Called on the control loop with each report that arrives: progress as JSON, an event as
  /// nothing.
  void on_report(std::function<void(std::string_view progress)> listener);

  /// From the control loop: what is still on its way is dropped.
  void cut();

 private:
  struct End {
    HeartbeatLoop* beats;
    std::function<void(std::string_view)> report{};
  };
  Executor control_;
  std::shared_ptr<End> end_;  // shared with what is posted, which may come after us
};

/// The newest task token, and by way of a heartbeat a newer one. Thread: the transfer loop's.
class BeatTokens final : public storage::TokenSource {
 public:
  /// All outlive it.
  BeatTokens(Executor transfer, Clock& clock, storage::TaskToken& token, BeatLink& link);

  [[nodiscard]] Secret<std::string> current() override { return token_.get(); }
  Awaitable<bool> wait_newer(const Secret<std::string>& used) override;

 private:
  Executor transfer_;
  Clock& clock_;
  storage::TaskToken& token_;
  BeatLink& link_;
};

/// A runner's view of its task. Made on the control loop before the runner starts, then used on the
/// transfer loop alone until it has ended.
class TaskContextImpl final : public runners::TaskContext {
 public:
  struct Parts {
    runners::TaskInfo info;
    storage::InputPort& inputs;
    storage::ArtifactPort& outputs;
    Workspace& workspace;
    BeatLink& link;
    ThreadPool& compute;
    Clock& clock;
    log::Logger logger;
  };
  explicit TaskContextImpl(Parts parts) : parts_(std::move(parts)) {}

  [[nodiscard]] const runners::TaskInfo& info() const override { return parts_.info; }
  /// Throws WorkspaceFailure, like workspace().
  storage::InputPort& inputs() override;
  storage::ArtifactPort& outputs() override { return parts_.outputs; }
  [[nodiscard]] const std::filesystem::path& workspace() const override;
  void progress(std::string json) override;
  void event(std::string json) override;
  ThreadPool& compute() override { return parts_.compute; }
  Clock& clock() override { return parts_.clock; }
  [[nodiscard]] const log::Logger& log() const override { return parts_.logger; }

 private:
  /// As it may go into the body of a heartbeat: JSON, and no secret in it. Nothing: not at all.
  [[nodiscard]] std::optional<std::string> sendable(std::string json) const;

  Parts parts_;
};

}  // namespace pn::node
