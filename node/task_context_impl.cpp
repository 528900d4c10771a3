#include "node/task_context_impl.hpp"

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/deadline.hpp"
#include "base/event.hpp"
#include "base/json.hpp"
#include "base/redacted_json.hpp"
#include "base/redactor.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"
#include "node/heartbeat_loop.hpp"
#include "storage/ports.hpp"
#include "storage/task_token.hpp"

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <boost/asio/post.hpp>
#include <nlohmann/json.hpp>

namespace pn::node {
namespace {

/// One report; a beat holds one progress and several events.
constexpr std::size_t kReportBytes = 64 * 1024;
/// A renewal is a heartbeat; one that takes longer than this brings no token in time.
constexpr std::chrono::seconds kRenewal{30};

}  // namespace

BeatLink::BeatLink(Executor control, HeartbeatLoop& beats)
    : control_(std::move(control)), end_(std::make_shared<End>(End{.beats = &beats})) {}

void BeatLink::progress(std::string json) {
  asio::post(control_, [end = end_, text = std::move(json)]() mutable {
    if (end->beats == nullptr) return;
    if (end->report) end->report(text);
    end->beats->set_progress(std::move(text));
  });
}

void BeatLink::event(std::string json) {
  asio::post(control_, [end = end_, text = std::move(json)]() mutable {
    if (end->beats == nullptr) return;
    if (end->report) end->report("");
    end->beats->add_event(std::move(text));
  });
}

void BeatLink::renew_token(std::function<void()> done) {
  asio::post(control_, [end = end_, answer = std::move(done)]() mutable {
    if (end->beats != nullptr) {
      end->beats->renew_token(std::move(answer));
    } else {
      answer();
    }
  });
}

void BeatLink::on_report(std::function<void(std::string_view)> listener) {
  end_->report = std::move(listener);
}

void BeatLink::cut() {
  end_->beats = nullptr;
  end_->report = nullptr;
}

BeatTokens::BeatTokens(Executor transfer, Clock& clock, storage::TaskToken& token, BeatLink& link)
    : transfer_(std::move(transfer)), clock_(clock), token_(token), link_(link) {}

Awaitable<bool> BeatTokens::wait_newer(const Secret<std::string>& used) {
  if (token_.get().reveal() == used.reveal()) {
    // Shared with the heartbeat's answer, which may come when we have stopped waiting.
    const auto answered = std::make_shared<Event>(transfer_);
    link_.renew_token(
        [loop = transfer_, answered] { asio::post(loop, [answered] { answered->set(); }); });
    co_await answered->wait_until(clock_, Deadline::in(clock_, kRenewal));
  }
  co_return token_.get().reveal() != used.reveal();
}

storage::InputPort& TaskContextImpl::inputs() {
  parts_.workspace.open();
  return parts_.inputs;
}

const std::filesystem::path& TaskContextImpl::workspace() const { return parts_.workspace.open(); }

void TaskContextImpl::progress(std::string json) {
  std::optional<std::string> report = sendable(std::move(json));
  if (report) parts_.link.progress(*std::move(report));
}

void TaskContextImpl::event(std::string json) {
  std::optional<std::string> report = sendable(std::move(json));
  if (report) parts_.link.event(*std::move(report));
}

std::optional<std::string> TaskContextImpl::sendable(std::string json) const {
  Result<Json> value = json.size() <= kReportBytes
                           ? parse_json(json)
                           : Result<Json>(Error(ErrorKind::rejected, "too_large", "too large"));
  if (!value) {
    parts_.logger.warn("task.report_dropped", {{"bytes", json.size()}});
    return std::nullopt;
  }
  Json clean = *value;
  redact(clean, parts_.logger.redactor(), Redactor::Hex::digest);
  // Else as the runner wrote it: numbers too.
  return clean == *value ? std::move(json) : dump_json(clean);
}

}  // namespace pn::node
