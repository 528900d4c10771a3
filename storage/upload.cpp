#include "storage/upload.hpp"

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "http/body.hpp"
#include "http/client.hpp"
#include "http/multipart.hpp"
#include "http/types.hpp"
#include "http/url.hpp"
#include "storage/domain_calls.hpp"
#include "storage/domain_json.hpp"
#include "storage/file_body.hpp"
#include "storage/parts_upload.hpp"
#include "storage/upload_feed.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/this_coro.hpp>

namespace pn::storage {
namespace {

constexpr int kRounds = 4;
/// The protocol's, where a server names no limit.
constexpr std::uint64_t kRequestMax = 104'857'600;
constexpr std::size_t kBoundaryBytes = 16;
constexpr std::uint64_t kTogether = 64 * 1024;
constexpr std::string_view kBytes = "application/octet-stream";
constexpr std::uint64_t kEverything = std::numeric_limits<std::uint64_t>::max();

std::string envelope_tail(const std::string& boundary) {
  return "\r\n" + http::closing_delimiter(boundary);
}

Result<DataItem> first_item(std::string_view body) {
  Result<std::vector<DataItem>> items = parse_items(body);
  if (!items.ok()) return std::move(items).error();
  if (items->empty()) {
    return Error(
        ErrorKind::retry, "data_missing", "the domain server confirmed an upload without a record");
  }
  return std::move(items->front());
}

}  // namespace

Upload::Upload(DomainCalls& calls, UploadFeed& feed, UploadTarget target)
    : calls_(calls), feed_(feed), target_(std::move(target)) {
  if (target_.existing) id_ = target_.existing->id;
}

Awaitable<Result<DataItem>> Upload::run() {
  if (!id_) {
    const Result<void> looked = co_await look_up();
    if (!looked.ok()) co_return looked.error();
  }
  for (int round = 1;; ++round) {
    const Result<bool> same = co_await unchanged();
    if (!same.ok()) co_return same.error();
    if (*same) co_return *found_;
    const Result<UploadLimits> allowed = co_await limits();
    if (!allowed.ok()) co_return allowed.error();
    Result<DataItem> done = co_await try_once(*allowed);
    if (done.ok() || round == kRounds) co_return done;
    std::string code = done.error().code;
    const Result<bool> again = co_await worth_another(std::move(code));
    if (!again.ok()) co_return again.error();
    if (!*again) co_return done;
  }
}

Awaitable<Result<bool>> Upload::worth_another(std::string code) {
  if (code == "parts_refused") parts_refused_ = true;
  if (code == "upload_gone" || code == "parts_refused") co_return true;
  if (code == "http_409" && !id_) {
    // Somebody made the name since we looked: it is updated, as if it had been there. Where it has
    // gone again by now, it is made anew.
    const Result<void> looked = co_await look_up();
    if (!looked.ok()) co_return looked.error();
    co_return true;
  }
  if (code != "http_404" || !id_) co_return false;
  // The record that we meant to update is gone. Where it is not, the way in parts is missing.
  const std::optional<DataId> meant = std::exchange(id_, std::nullopt);
  const Result<void> looked = co_await look_up();
  if (!looked.ok()) co_return looked.error();
  if (id_ == meant) parts_refused_ = true;
  co_return true;
}

Awaitable<bool> Upload::needs_parts(const UploadLimits& allowed) {
  if (!allowed.multipart || parts_refused_) co_return false;
  if (whole_refused_) co_return true;
  const std::string boundary(2 * kBoundaryBytes, 'x');
  const std::uint64_t envelope = envelope_head(boundary).size() + envelope_tail(boundary).size();
  const std::uint64_t most = allowed.request_max_bytes.value_or(kRequestMax);
  const std::uint64_t room = most - std::min(most, envelope);
  const std::uint64_t there = co_await feed_.available(0, room + 1);
  // Empty content is refused in parts.
  co_return there > 0 && there > room;
}

Awaitable<Result<DataItem>> Upload::try_once(const UploadLimits& allowed) {
  const bool parts = co_await needs_parts(allowed);
  if (!parts) {
    Result<DataItem> done = co_await in_one_request();
    const bool too_large = !done.ok() && done.error().code == "http_413" && feed_.size() != 0;
    // What stands before a server may take less than the server says.
    if (!too_large || !allowed.multipart || parts_refused_) co_return done;
    whole_refused_ = true;
  }
  Result<DataItem> done = co_await in_parts();
  co_return done;
}

Awaitable<Result<std::optional<DataItem>>> Upload::find() {
  const http::Url url =
      calls_.data().with_query("name", target_.name).with_query("data_type", target_.data_type);
  http::Request request = calls_.call(http::Method::get, url);
  const Result<http::Response> answer = co_await calls_.exchange(std::move(request));
  if (answer.ok() && answer->status == 404) co_return std::optional<DataItem>();
  const Result<http::Response> good = success(answer);
  if (!good.ok()) co_return good.error();
  Result<std::vector<DataItem>> items = parse_items(good->body);
  if (!items.ok()) co_return std::move(items).error();
  // A server that ignores the filter must not make us overwrite another record.
  const auto same = std::ranges::find_if(*items, [this](const DataItem& item) {
    return item.name == target_.name && item.data_type == target_.data_type;
  });
  std::optional<DataItem> out;
  if (same != items->end()) out = std::move(*same);
  co_return out;
}

Awaitable<Result<void>> Upload::look_up() {
  Result<std::optional<DataItem>> found = co_await find();
  if (!found.ok()) co_return std::move(found).error();
  found_ = *std::move(found);
  if (found_) id_ = found_->id;
  co_return Result<void>();
}

Awaitable<Result<std::string>> Upload::digest(std::uint64_t size) {
  if (digest_) co_return *digest_;
  Result<std::string> out = co_await digest_of(feed_.content(), 0, size, calls_.parts().files);
  if (out.ok()) digest_ = *out;
  co_return out;
}

Awaitable<Result<bool>> Upload::unchanged() {
  if (!found_ && target_.existing && id_ == target_.existing->id) {
    Result<bool> same = co_await has_ours(*target_.existing);
    if (!same.ok() || !*same) co_return same;
    // Others write too: what we were told of the record may be old.
    const Result<void> looked = co_await look_up();
    if (!looked.ok()) co_return looked.error();
  }
  if (!found_ || id_ != found_->id) co_return false;
  Result<bool> same = co_await has_ours(*found_);
  co_return same;
}

Awaitable<Result<bool>> Upload::has_ours(const DataItem& item) {
  const std::optional<std::uint64_t> size = feed_.size();
  if (item.sha256.empty() || size != item.size) co_return false;
  const Result<std::string> ours = co_await digest(*size);
  if (!ours.ok()) co_return ours.error();
  co_return *ours == item.sha256;
}

Awaitable<Result<std::optional<DataItem>>> Upload::find_ours(std::uint64_t size) {
  Result<std::optional<DataItem>> found = co_await find();
  if (!found.ok() || !*found) co_return found;
  const DataItem& item = **found;
  bool ours = item.size == size;
  if (ours && !item.sha256.empty()) {
    const Result<std::string> digest = co_await this->digest(size);
    if (!digest.ok()) co_return digest.error();
    ours = *digest == item.sha256;
  } else if (ours && id_) {
    // The same size as before it was updated, perhaps: the time tells, where we know it.
    const std::optional<DataItem>& before = found_ ? found_ : target_.existing;
    ours = before && item.id == *id_ && item.updated_at != before->updated_at;
  }
  if (!ours) co_return std::optional<DataItem>();
  co_return found;
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
  const std::uint64_t size = co_await feed_.available(0, kEverything);
  // Of a stream that is known only now.
  const Result<bool> same = co_await unchanged();
  if (!same.ok()) co_return same.error();
  if (*same) co_return *found_;
  const std::string boundary = random_hex(calls_.parts().rng, kBoundaryBytes);
  const ContentSource::Range everything{.offset = 0, .size = size};
  ContentSource source(feed_.content(), everything, calls_.parts().files);
  source.envelop(envelope_head(boundary), envelope_tail(boundary));
  const http::Method method = id_ ? http::Method::put : http::Method::post;
  http::Request request = calls_.transfer(method, calls_.data());
  request.headers.set("Content-Type", "multipart/form-data; boundary=" + boundary);
  // What is small and in memory leaves in one piece with its headers.
  if (feed_.content().in_memory() && size <= kTogether) {
    request.body.resize(static_cast<std::size_t>(*source.size()));
    const std::span<char> room(request.body);
    const Result<std::size_t> all = co_await http::read_full(source, room);
    if (!all.ok()) co_return all.error();
  } else {
    request.source = &source;
  }
  std::optional<Result<DataItem>> known;  // by a look-up between two tries
  DomainCalls::BeforeAgain looking = [&] { return still_to_send(source, size, known); };
  const Result<http::Response> answer =
      co_await calls_.exchange(std::move(request), std::move(looking));
  if (known) co_return *std::move(known);
  const Result<http::Response> good = success(answer);
  if (!good.ok()) co_return good.error();
  Result<DataItem> item = first_item(good->body);
  if (item.ok()) co_return item;
  const Result<std::optional<DataItem>> ours = co_await find_ours(size);
  if (ours.ok() && *ours) co_return **ours;
  co_return item;
}

/// Before 100 MiB go out once more: did they come to anything the first time?
Awaitable<bool> Upload::still_to_send(const ContentSource& source,
                                      std::uint64_t size,
                                      std::optional<Result<DataItem>>& known) {
  if (!source.exhausted()) co_return true;
  Result<std::optional<DataItem>> ours = co_await find_ours(size);
  if (!ours.ok()) {
    known = std::move(ours).error();
  } else if (*ours) {
    known = **std::move(ours);
  }
  co_return !known;
}

Awaitable<Result<DataItem>> Upload::in_parts() {
  const Executor executor = co_await asio::this_coro::executor;
  const bool resumes = target_.resume == UploadTarget::Resume::yes;
  PartsUpload::Order order;
  order.name = target_.name;
  order.data_type = target_.data_type;
  order.existing = id_;
  order.journal = resumes ? calls_.parts().journal : nullptr;
  PartsUpload upload(executor, calls_, feed_, std::move(order));
  Result<DataItem> done = co_await upload.run();
  if (done.ok() || done.error().code != "completion_unknown") co_return done;
  const std::uint64_t size = co_await feed_.available(0, kEverything);
  Result<std::optional<DataItem>> ours = co_await find_ours(size);
  if (!ours.ok()) co_return std::move(ours).error();
  if (*ours) co_return **std::move(ours);
  co_return Error(ErrorKind::restart, "upload_gone", done.error().detail);
}

}  // namespace pn::storage
