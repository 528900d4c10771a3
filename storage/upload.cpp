#include "storage/upload.hpp"

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/deadline.hpp"
#include "base/ids.hpp"
#include "base/log.hpp"
#include "base/nursery.hpp"
#include "base/result.hpp"
#include "base/retry.hpp"
#include "base/rng.hpp"
#include "http/client.hpp"
#include "http/multipart.hpp"
#include "http/types.hpp"
#include "http/url.hpp"
#include "storage/domain_calls.hpp"
#include "storage/domain_json.hpp"
#include "storage/file_body.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/this_coro.hpp>

namespace pn::storage {
namespace {

constexpr std::uint64_t kMostParts = 10'000;
constexpr int kRounds = 4;
constexpr std::chrono::seconds kAbortTime{10};
/// The server may put the parts together before it answers.
constexpr std::chrono::minutes kCompleteTimeout{5};
constexpr std::size_t kBoundaryBytes = 16;
constexpr std::string_view kBytes = "application/octet-stream";

std::string envelope_tail(const std::string& boundary) {
  return "\r\n" + http::closing_delimiter(boundary);
}

}  // namespace

Upload::Upload(DomainCalls& calls, const Content& content, Target target)
    : calls_(calls), content_(content), target_(std::move(target)), id_(target_.existing) {}

Awaitable<Result<DataItem>> Upload::run() {
  if (!id_) {
    const Result<void> looked = co_await look_up();
    if (!looked.ok()) co_return looked.error();
  }
  const Result<UploadLimits> allowed = co_await limits();
  if (!allowed.ok()) co_return allowed.error();
  const bool parts = needs_parts(*allowed);

  for (int round = 1;; ++round) {
    Result<DataItem> done = co_await try_once(parts && !parts_refused_);
    if (done.ok() || round == kRounds) co_return done;
    std::string code = done.error().code;
    const Result<bool> again = co_await worth_another(std::move(code));
    if (!again.ok()) co_return again.error();
    if (!*again) co_return done;
  }
}

Awaitable<Result<bool>> Upload::worth_another(std::string code) {
  if (code == "upload_gone" || code == "parts_refused") co_return true;
  if (code == "http_409" && !id_) {
    // Somebody made the name since we looked: it is updated, as if it had been there.
    const Result<void> looked = co_await look_up();
    if (!looked.ok()) co_return looked.error();
    co_return id_.has_value();
  }
  if (code != "http_404" || !id_) co_return false;
  // The record that we meant to update is gone. Where it is not, the way in parts is missing.
  const std::optional<DataId> meant = std::exchange(id_, std::nullopt);
  const Result<void> looked = co_await look_up();
  if (!looked.ok()) co_return looked.error();
  if (id_ == meant) parts_refused_ = true;
  co_return true;
}

bool Upload::needs_parts(const UploadLimits& allowed) const {
  // Empty content is refused in parts, and without parts there is but one way.
  if (!allowed.request_max_bytes || !allowed.multipart || content_.size() == 0) return false;
  const std::string boundary(2 * kBoundaryBytes, 'x');
  const std::uint64_t whole =
      envelope_head(boundary).size() + content_.size() + envelope_tail(boundary).size();
  return whole > *allowed.request_max_bytes;
}

Awaitable<Result<DataItem>> Upload::try_once(bool parts) {
  if (parts) {
    Result<DataItem> done = co_await in_parts();
    co_return done;
  }
  Result<DataItem> done = co_await in_one_request();
  co_return done;
}

Awaitable<Result<void>> Upload::look_up() {
  const http::Url url =
      calls_.data().with_query("name", target_.name).with_query("data_type", target_.data_type);
  http::Request request = calls_.call(http::Method::get, url);
  const Result<http::Response> answer = co_await calls_.exchange(std::move(request));
  if (answer.ok() && answer->status == 404) co_return Result<void>();
  const Result<http::Response> good = success(answer);
  if (!good.ok()) co_return good.error();
  Result<std::vector<DataItem>> items = parse_items(good->body);
  if (!items.ok()) co_return std::move(items).error();
  // A server that ignores the filter must not make us overwrite another record.
  const auto same = std::ranges::find_if(*items, [this](const DataItem& item) {
    return item.name == target_.name && item.data_type == target_.data_type;
  });
  if (same != items->end()) {
    id_ = same->id;
    found_ = *same;
  }
  co_return Result<void>();
}

Awaitable<Result<UploadLimits>> Upload::limits() {
  const std::string server = calls_.server().str();
  Clock& clock = calls_.parts().clock;
  LimitsCache& cache = calls_.parts().limits;
  const std::optional<UploadLimits> known = cache.find(server, clock.steady_now());
  if (known) co_return *known;

  http::Request request =
      calls_.call(http::Method::get, calls_.server().append({"api", "v1", "info"}));
  const Result<http::Response> answer = co_await calls_.exchange(std::move(request));
  if (!answer.ok()) co_return within("upload limits", answer.error());
  UploadLimits out;
  // A server without this call is an old one: one request, whatever the size.
  const bool old = answer->status == 404 || answer->status == 405 || answer->status == 501;
  if (!old) {
    const Result<http::Response> good = success(answer);
    if (!good.ok()) co_return within("upload limits", good.error());
    const Result<UploadLimits> parsed = parse_limits(good->body);
    // Guessing "no limits" would send in one request what the server refuses for good.
    if (!parsed.ok()) {
      co_return Error(ErrorKind::retry,
                      "limits_unknown",
                      "the server does not tell its upload limits: " + parsed.error().detail);
    }
    out = *parsed;
  }
  cache.keep(server, out, clock.steady_now());
  co_return out;
}

std::string Upload::envelope_head(const std::string& boundary) const {
  std::vector<std::pair<std::string, std::string>> disposition;
  if (id_) {
    disposition.emplace_back("id", id_->str());
  } else {
    disposition.emplace_back("name", target_.name);
    disposition.emplace_back("data-type", target_.data_type);
  }
  return http::part_head(boundary, kBytes, disposition);
}

Awaitable<Result<DataItem>> Upload::in_one_request() {
  const std::string boundary = random_hex(calls_.parts().rng, kBoundaryBytes);
  const ContentSource::Range everything{.offset = 0, .size = content_.size()};
  ContentSource source(content_, everything, calls_.parts().files);
  source.envelop(envelope_head(boundary), envelope_tail(boundary));
  const http::Method method = id_ ? http::Method::put : http::Method::post;
  http::Request request = calls_.transfer(method, calls_.data());
  request.headers.set("Content-Type", "multipart/form-data; boundary=" + boundary);
  request.source = &source;
  const Result<http::Response> answer = co_await calls_.exchange(std::move(request));
  const Result<http::Response> good = success(answer);
  if (!good.ok()) co_return good.error();
  Result<std::vector<DataItem>> items = parse_items(good->body);
  if (!items.ok()) co_return std::move(items).error();
  if (items->empty()) {
    co_return Error(ErrorKind::corrupt,
                    "data_missing",
                    "the domain server confirmed an upload without a record");
  }
  co_return std::move(items->front());
}

// --- in parts ---

http::Url Upload::upload_url(const std::string& upload_id) const {
  return calls_.data().append({"multipart"}).with_query("uploadId", upload_id);
}

Awaitable<Result<DataItem>> Upload::in_parts() {
  const http::Url url = calls_.data().append({"multipart"}).with_query("uploads", "");
  http::Request request = calls_.call(http::Method::post, url);
  request.headers.set("Content-Type", "application/json");
  request.body = initiate_body(target_.name, target_.data_type, content_.size(), id_);
  const Result<http::Response> answer = co_await calls_.exchange(std::move(request));
  const int status = answer.ok() ? answer->status : 0;
  // With an id, 404 may mean the record: run() looks it up.
  if ((status == 404 && !id_) || status == 405 || status == 501) {
    parts_refused_ = true;
    co_return Error(ErrorKind::restart, "parts_refused", "the server takes no upload in parts");
  }
  const Result<http::Response> good = success(answer);
  if (!good.ok()) co_return good.error();
  const Result<MultipartUpload> upload = parse_initiated(good->body);
  if (!upload.ok()) co_return upload.error();

  std::optional<Result<DataItem>> done;
  std::exception_ptr thrown;
  try {
    Result<DataItem> sent = co_await send_parts(*upload);
    done.emplace(std::move(sent));
  } catch (...) {  // cancellation mostly: rethrown below, when the server knows
    thrown = std::current_exception();
  }
  if (done && done->ok()) co_return std::move(*done);
  const bool throws = co_await asio::this_coro::throw_if_cancelled();
  co_await asio::this_coro::throw_if_cancelled(false);
  Awaitable<void> aborting = abort(upload->upload_id);
  co_await shielded(std::move(aborting));
  co_await asio::this_coro::throw_if_cancelled(throws);
  if (thrown) std::rethrow_exception(thrown);
  co_return std::move(*done);
}

Awaitable<Result<DataItem>> Upload::send_parts(const MultipartUpload& upload) {
  const std::uint64_t count = (content_.size() + upload.part_size - 1) / upload.part_size;
  if (count > kMostParts) {
    co_return Error(ErrorKind::rejected,
                    "too_many_parts",
                    "the server's parts of " + std::to_string(upload.part_size) +
                        " bytes make more than 10000 of " + std::to_string(content_.size()) +
                        " bytes");
  }
  std::vector<UploadedPart> parts;
  parts.reserve(count);
  for (std::uint32_t number = 1; number <= count; ++number) {
    Result<UploadedPart> part = co_await send_part(upload, number);
    if (!part.ok()) co_return std::move(part).error();
    parts.push_back(*std::move(part));
  }
  Result<DataItem> completed = co_await complete(upload, complete_body(parts));
  co_return completed;
}

Awaitable<Result<UploadedPart>> Upload::send_part(const MultipartUpload& upload,
                                                  std::uint32_t number) {
  const std::uint64_t offset = (number - 1) * upload.part_size;
  const ContentSource::Range range{.offset = offset,
                                   .size = std::min(upload.part_size, content_.size() - offset)};
  ContentSource source(content_, range, calls_.parts().files);
  const http::Url url =
      upload_url(upload.upload_id).with_query("partNumber", std::to_string(number));
  http::Request request = calls_.transfer(http::Method::put, url);
  request.headers.set("Content-Type", kBytes);
  request.source = &source;
  RetryPolicy policy = calls_.options().retry;
  policy.tries = calls_.options().part_retries + 1;
  const Result<http::Response> answer = co_await calls_.exchange(std::move(request), policy);
  const Result<http::Response> good = success(answer);
  if (!good.ok() && good.error().kind == ErrorKind::not_found) {
    co_return Error(ErrorKind::restart, "upload_gone", "the server forgot the upload");
  }
  if (!good.ok()) co_return within("part " + std::to_string(number), good.error());
  Result<std::string> etag = parse_etag(good->body);
  if (!etag.ok()) co_return std::move(etag).error();
  UploadedPart part;
  part.number = number;
  part.etag = *std::move(etag);
  co_return part;
}

Awaitable<Result<DataItem>> Upload::complete(const MultipartUpload& upload, std::string body) {
  http::Request request = calls_.call(http::Method::post, upload_url(upload.upload_id));
  request.headers.set("Content-Type", "application/json");
  request.body = std::move(body);
  request.timeout = std::max<std::chrono::milliseconds>(request.timeout, kCompleteTimeout);
  const Result<http::Response> answer = co_await calls_.exchange(std::move(request));
  const Result<http::Response> good = success(answer);
  if (good.ok()) co_return parse_item(good->body);
  if (good.error().kind != ErrorKind::not_found && good.error().code != "http_409") {
    co_return good.error();
  }
  Result<DataItem> found = co_await find_completed(good.error());
  co_return found;
}

/// The answer to an earlier try may have been lost, and then the upload is gone because it is done.
Awaitable<Result<DataItem>> Upload::find_completed(Error error) {
  const std::optional<DataId> meant = id_;
  const std::optional<DataItem> before = found_;
  const Result<void> looked = co_await look_up();
  if (!looked.ok()) co_return looked.error();
  const bool there = id_ && found_ && found_->size == content_.size();
  const bool ours = there && (!meant || *meant == *id_) &&
                    (!meant || (before && before->updated_at != found_->updated_at));
  if (ours) co_return *found_;
  if (error.kind != ErrorKind::not_found) co_return error;
  co_return Error(ErrorKind::restart, "upload_gone", "the server forgot the upload");
}

Awaitable<void> Upload::abort(std::string upload_id) {
  http::Request request = calls_.call(http::Method::del, upload_url(upload_id));
  Clock& clock = calls_.parts().clock;
  Awaitable<Result<http::Response>> sending = calls_.once(std::move(request));
  const Result<http::Response> answer = co_await with_deadline<http::Response>(
      clock, Deadline::in(clock, kAbortTime), std::move(sending));
  const Result<http::Response> good = success(answer);
  if (!good.ok()) {
    calls_.parts().logger.warn("upload.abort_failed", {log::field(good.error())});
  }
}

}  // namespace pn::storage
