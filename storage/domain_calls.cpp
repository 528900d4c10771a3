#include "storage/domain_calls.hpp"

#include "base/awaitable.hpp"
#include "base/file.hpp"
#include "base/ids.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"
#include "base/time.hpp"
#include "http/client.hpp"
#include "http/types.hpp"
#include "http/url.hpp"
#include "storage/domain_json.hpp"
#include "storage/input_cache.hpp"
#include "storage/shared_renewal.hpp"
#include "storage/token_source.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace pn::storage {
namespace {

constexpr std::chrono::seconds kLimitsKept{60};  // wire.md
/// Of the cache, besides what is missing: so that it need not give way again at the next write.
constexpr std::uint64_t kShare = 16;

}  // namespace

std::optional<UploadLimits> LimitsCache::find(const std::string& server, SteadyTime now) const {
  const auto found = entries_.find(server);
  if (found == entries_.end() || found->second.until <= now) return std::nullopt;
  return found->second.limits;
}

void LimitsCache::keep(const std::string& server, UploadLimits limits, SteadyTime now) {
  std::erase_if(entries_, [now](const auto& entry) { return entry.second.until <= now; });
  entries_.insert_or_assign(server, Entry{.limits = limits, .until = now + kLimitsKept});
}

Awaitable<bool> Patience::again(const Error& error) {
  if (error.kind != ErrorKind::retry) co_return false;
  if (!end_ && time_) end_ = clock_.steady_now() + *time_;
  const Millis asked = error.after.value_or(Millis{0});
  if (asked > asked_left_) co_return false;
  asked_left_ -= asked;
  if (end_) *end_ += asked;
  const std::optional<Millis> pause = backoff_.next(rng_, error.after);
  if (!pause || (end_ && clock_.steady_now() + *pause >= *end_)) co_return false;
  co_await clock_.sleep_for(*pause);
  co_return true;
}

DomainCalls::DomainCalls(DomainClientParts parts,
                         http::Url server,
                         DomainId domain,
                         std::unique_ptr<TokenSource> tokens,
                         DomainClientOptions options)
    : parts_(std::move(parts)),
      options_(std::move(options)),
      server_(std::move(server)),
      domain_(std::move(domain)),
      data_(server_.append({"api", "v1", "domains", domain_.str(), "data"})),
      tokens_(std::make_unique<SharedRenewal>(std::move(tokens))) {}

http::Request DomainCalls::call(http::Method method, http::Url url) const {
  http::Request request(method, std::move(url));
  request.timeout = options_.request_timeout;
  request.headers.set("Accept", "application/json");
  if (!options_.client_id.empty()) request.headers.set("posemesh-client-id", options_.client_id);
  return request;
}

http::Request DomainCalls::transfer(http::Method method, http::Url url) const {
  http::Request request = call(method, std::move(url));
  request.timeout = std::chrono::milliseconds(0);
  request.low_speed_bytes = options_.low_speed_bytes;
  request.low_speed_time = options_.low_speed_time;
  return request;
}

Patience DomainCalls::patience() const {
  return {parts_.clock, parts_.rng, options_.retry, options_.retry_for, options_.retry_after_most};
}

MakeRoom DomainCalls::make_room() const {
  if (parts_.cache == nullptr) return {};
  return [this](std::uint64_t bytes) {
    InputCache& cache = *parts_.cache;
    const std::uint64_t freed = cache.shrink(bytes + cache.bytes() / kShare);
    if (freed == 0) return false;
    parts_.logger.info("cache.shrunk", {{"freed_bytes", freed}, {"left_bytes", cache.bytes()}});
    return true;
  };
}

Awaitable<Result<http::Response>> DomainCalls::once(http::Request request) {
  const Secret<std::string> token = tokens_->current();
  http::Request first = request;
  first.headers.set("Authorization", "Bearer " + token.reveal());
  Result<http::Response> answer = co_await parts_.http.send(std::move(first));
  if (!answer.ok() || answer->status != 401) co_return answer;

  const bool newer = co_await tokens_->wait_newer(token);
  if (!newer) co_return answer;
  if (request.source != nullptr && !request.source->rewind()) co_return answer;
  request.headers.set("Authorization", "Bearer " + tokens_->current().reveal());
  Result<http::Response> second = co_await parts_.http.send(std::move(request));
  co_return second;
}

Awaitable<Result<http::Response>> DomainCalls::exchange(http::Request request,
                                                        Patience& patience,
                                                        BeforeAgain before_again) {
  for (;;) {
    const SteadyTime begun = parts_.clock.steady_now();
    http::Request attempt = request;
    Result<http::Response> answer = co_await once(std::move(attempt));
    if (answer.ok() && (answer->status / 100 == 2 || answer->status == 501)) co_return answer;
    const Error error = answer.ok() ? http::from_http_status(*answer) : answer.error();
    const bool moved = request.source != nullptr && request.source->begun();
    if (moved) patience.moved(parts_.clock.steady_now() - begun);
    const bool again = co_await patience.again(error);
    if (!again) co_return answer;
    if (before_again) {
      Awaitable<bool> asking = before_again();
      const bool goes_on = co_await std::move(asking);
      if (!goes_on) co_return answer;
    }
    if (request.source != nullptr && !request.source->rewind()) co_return answer;
    parts_.logger.debug(
        "storage.call_retried",
        {{"method", name(request.method)}, {"path", request.url.path()}, log::field(error)});
  }
}

Awaitable<Result<http::Response>> DomainCalls::exchange(http::Request request, Patience& patience) {
  Result<http::Response> answer = co_await exchange(std::move(request), patience, BeforeAgain());
  co_return answer;
}

Awaitable<Result<http::Response>> DomainCalls::exchange(http::Request request) {
  Patience patience = this->patience();
  Result<http::Response> answer = co_await exchange(std::move(request), patience);
  co_return answer;
}

Awaitable<Result<http::Response>> DomainCalls::exchange(http::Request request,
                                                        BeforeAgain before_again) {
  Patience patience = this->patience();
  Result<http::Response> answer =
      co_await exchange(std::move(request), patience, std::move(before_again));
  co_return answer;
}

Result<http::Response> success(Result<http::Response> answer) {
  if (answer.ok() && answer->status / 100 != 2) return http::from_http_status(*answer);
  return answer;
}

}  // namespace pn::storage
