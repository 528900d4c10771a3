#include "storage/parts_upload.hpp"

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/deadline.hpp"
#include "base/finally.hpp"
#include "base/log.hpp"
#include "base/nursery.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "base/retry.hpp"
#include "http/client.hpp"
#include "http/types.hpp"
#include "http/url.hpp"
#include "storage/domain_calls.hpp"
#include "storage/domain_json.hpp"
#include "storage/file_body.hpp"
#include "storage/flights.hpp"
#include "storage/upload_feed.hpp"
#include "storage/upload_journal.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pn::storage {
namespace {

constexpr std::uint32_t kMostParts = 10'000;
constexpr std::chrono::seconds kAbortTime{10};
/// The server may put the parts together before it answers.
constexpr std::chrono::minutes kCompleteTimeout{5};
constexpr std::string_view kBytes = "application/octet-stream";

Error too_many_parts(std::uint64_t part_size) {
  return {ErrorKind::rejected,
          "too_many_parts",
          "the content has more than 10000 of the server's parts of " + std::to_string(part_size) +
              " bytes"};
}

Error upload_gone(std::string why) { return {ErrorKind::restart, "upload_gone", std::move(why)}; }

/// Says nothing of this upload: another attempt may get on with it.
bool passes(const Error& error) {
  return error.kind == ErrorKind::retry || error.kind == ErrorKind::unauthorized ||
         error.code == "lease_lost";
}

/// What an exchange asks before it goes on.
Awaitable<bool> note_lost(bool& lost) {
  lost = true;
  co_return true;
}

}  // namespace

/// A part that is under way. Counted here and not by the nursery, whose children end a turn later.
class PartsUpload::Busy {
 public:
  explicit Busy(PartsUpload& owner) : owner_(owner) { ++owner_.busy_; }
  ~Busy() {
    --owner_.busy_;
    owner_.freed_.set();
  }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;

 private:
  PartsUpload& owner_;
};

PartsUpload::PartsUpload(Executor executor, DomainCalls& calls, UploadFeed& feed, Order order)
    : calls_(calls),
      feed_(feed),
      order_(std::move(order)),
      key_{.server = calls.server().str(),
           .domain = calls.domain(),
           .name = order_.name,
           .data_type = order_.data_type},
      claim_(claim()),
      journal_(claim_ ? order_.journal : nullptr),
      freed_(executor),
      workers_(executor) {}

std::optional<Flights::Claim> PartsUpload::claim() const {
  if (order_.journal == nullptr || !feed_.size()) return std::nullopt;
  return calls_.parts().uploading->claim(key_.server + '\n' + key_.domain.str() + '\n' + key_.name +
                                         '\n' + key_.data_type);
}

http::Url PartsUpload::upload_url(const std::string& upload_id) const {
  return calls_.data().append({"multipart"}).with_query("uploadId", upload_id);
}

Awaitable<Result<DataItem>> PartsUpload::run() {
  Awaitable<Result<DataItem>> uploading = judged();
  const std::function<Awaitable<void>()> cleaning = [this] { return clean_up(); };
  Result<DataItem> done = co_await finally<Result<DataItem>>(std::move(uploading), cleaning);
  co_return done;
}

Awaitable<Result<DataItem>> PartsUpload::judged() {
  Result<DataItem> done = co_await upload();
  done_ = done.ok();
  if (done_) co_return done;
  // What does not fit may be what an earlier life sent.
  if (taken_up_ && done.error().kind == ErrorKind::rejected) {
    done = upload_gone("the server does not go on with the upload: " + done.error().detail);
  }
  failure_ = done.error();
  co_return done;
}

Awaitable<Result<DataItem>> PartsUpload::upload() {
  co_await take_up();
  if (!taken_up_) {
    const Result<void> begun = co_await initiate();
    if (!begun.ok()) co_return begun.error();
  }
  const Result<void> sent = co_await send_parts();
  if (!sent.ok()) co_return sent.error();
  Result<DataItem> done = co_await complete();
  co_return done;
}

/// An entry that does not fit is of no use to anybody: it goes, on the server too.
Awaitable<void> PartsUpload::take_up() {
  if (journal_ == nullptr) co_return;
  const auto look = [this] { return journal_->find(key_); };
  std::optional<JournalledUpload> found = co_await offload(calls_.parts().files, look);
  if (!found) co_return;
  const bool fits = found->size == *feed_.size() && found->existing == order_.existing &&
                    found->part_size > 0 && !found->upload_id.empty();
  if (!fits) {
    co_await abort(found->upload_id);
    co_await forget(found->upload_id);
    co_return;
  }
  taken_up_ = true;
  upload_id_ = found->upload_id;
  part_size_ = found->part_size;
  for (JournalledPart& part : found->parts) {
    const std::uint32_t number = part.number;
    known_.insert_or_assign(number, std::move(part));
  }
  calls_.parts().logger.info(
      "upload.resumed",
      {{"name", order_.name}, {"parts", known_.size()}, {"part_bytes", part_size_}});
}

/// A lost answer is asked for again, and then the first upload is nobody's: it holds no bytes and
/// no name, and the server removes it when it expires.
Awaitable<Result<void>> PartsUpload::initiate() {
  const http::Url url = calls_.data().append({"multipart"}).with_query("uploads", "");
  http::Request request = calls_.call(http::Method::post, url);
  request.headers.set("Content-Type", "application/json");
  request.body = initiate_body(order_.name, order_.data_type, feed_.size(), order_.existing);
  const Result<http::Response> answer = co_await calls_.exchange(std::move(request));
  const int status = answer.ok() ? answer->status : 0;
  // With an id, 404 may mean the record: who asked for us looks it up.
  if ((status == 404 && !order_.existing) || status == 405 || status == 501) {
    co_return Error(ErrorKind::restart, "parts_refused", "the server takes no upload in parts");
  }
  const Result<http::Response> good = success(answer);
  if (!good.ok()) co_return good.error();
  Result<MultipartUpload> begun = parse_initiated(good->body);
  if (!begun.ok()) co_return std::move(begun).error();
  upload_id_ = std::move(begun->upload_id);
  part_size_ = begun->part_size;

  if (journal_ == nullptr) co_return Result<void>();
  JournalledUpload entry;
  entry.upload_id = upload_id_;
  entry.part_size = part_size_;
  entry.size = *feed_.size();
  entry.existing = order_.existing;
  entry.begun = calls_.parts().clock.system_now();
  const auto note = [this, &entry] { journal_->begin(key_, entry); };
  co_await offload(calls_.parts().files, note);
  co_return Result<void>();
}

Awaitable<Result<void>> PartsUpload::send_parts() {
  const std::uint64_t expected = feed_.size().value_or(0);
  if (expected / part_size_ > kMostParts ||
      (expected / part_size_ == kMostParts && expected % part_size_ > 0)) {
    co_return too_many_parts(part_size_);
  }
  const std::size_t at_a_time = std::max<std::size_t>(calls_.options().upload_parallel, 1);
  std::uint64_t offset = 0;
  for (std::uint32_t number = 1; !failure_; ++number) {
    const std::uint64_t size = co_await feed_.available(offset, part_size_);
    if (size == 0 || failure_) break;
    if (number > kMostParts) co_return too_many_parts(part_size_);
    while (busy_ >= at_a_time && !failure_) co_await freed_.wait();
    if (failure_) break;
    const ContentSource::Range range{.offset = offset, .size = size};
    workers_.spawn("part", send_part(number, range));
    offset += size;
  }
  co_await workers_.join();
  if (failure_) co_return *failure_;
  co_return Result<void>();
}

Awaitable<void> PartsUpload::send_part(std::uint32_t number, ContentSource::Range range) {
  const Busy busy(*this);
  const Result<bool> there = co_await is_there(number, range);
  Result<void> sent;
  if (!there.ok()) {
    sent = there.error();
  } else if (!*there) {
    sent = co_await put_part(number, range);
  }
  if (sent.ok() || failure_) co_return;
  failure_ = sent.error();
  workers_.cancel();
  feed_.wake();  // a slow writer may not fill another part for an hour
}

Awaitable<Result<bool>> PartsUpload::is_there(std::uint32_t number, ContentSource::Range range) {
  const auto known = known_.find(number);
  if (known == known_.end()) co_return false;
  const Result<std::string> digest =
      co_await digest_of(feed_.content(), range.offset, range.size, calls_.parts().files);
  if (!digest.ok()) co_return digest.error();
  if (*digest != known->second.sha256) co_return false;
  etags_.insert_or_assign(number, known->second.etag);
  co_return true;
}

/// The tries decide, as the setting has it, and not the time: on a slow line one part takes longer
/// than all of that.
Patience PartsUpload::patience_for_part() const {
  const DomainClientOptions& options = calls_.options();
  RetryPolicy policy = options.retry;
  policy.tries = options.part_retries + 1;
  return {calls_.parts().clock, calls_.parts().rng, policy, std::nullopt, options.retry_after_most};
}

Awaitable<Result<void>> PartsUpload::put_part(std::uint32_t number, ContentSource::Range range) {
  ContentSource source(feed_.content(), range, calls_.parts().files);
  if (journal_ != nullptr) source.take_digest();
  const http::Url url = upload_url(upload_id_).with_query("partNumber", std::to_string(number));
  http::Request request = calls_.transfer(http::Method::put, url);
  request.headers.set("Content-Type", kBytes);
  request.source = &source;
  Result<std::string> etag = co_await put_until_told(std::move(request));
  if (!etag.ok() && etag.error().kind == ErrorKind::not_found) {
    gone_ = true;
    co_return upload_gone("the server forgot the upload");
  }
  if (!etag.ok()) co_return within("part " + std::to_string(number), etag.error());
  etags_.insert_or_assign(number, *etag);
  ++sent_;
  std::optional<std::string> digest = source.digest();
  if (!digest) co_return Result<void>();
  JournalledPart part;
  part.number = number;
  part.etag = *std::move(etag);
  part.sha256 = *std::move(digest);
  co_await acknowledged(std::move(part));
  co_return Result<void>();
}

Awaitable<Result<std::string>> PartsUpload::put_until_told(http::Request request) {
  Patience patience = patience_for_part();
  for (;;) {
    http::Request attempt = request;
    const Result<http::Response> answer = co_await calls_.exchange(std::move(attempt), patience);
    const Result<http::Response> good = success(answer);
    if (!good.ok()) co_return good.error();
    Result<std::string> etag = parse_etag(good->body);
    if (etag.ok()) co_return etag;
    // What stands before the server answered in its place, perhaps: that passes as an outage does,
    // and is no reason to throw the other parts away.
    const bool again = co_await patience.again(etag.error());
    if (!again || !request.source->rewind()) co_return etag;
  }
}

Awaitable<void> PartsUpload::acknowledged(JournalledPart part) {
  const auto note = [this, &part] { journal_->part(key_, upload_id_, part); };
  co_await offload(calls_.parts().files, note);
}

Awaitable<Result<DataItem>> PartsUpload::complete() {
  std::vector<UploadedPart> parts;
  parts.reserve(etags_.size());
  for (const auto& [number, etag] : etags_) {
    UploadedPart part;
    part.number = number;
    part.etag = etag;
    parts.push_back(std::move(part));
  }
  http::Request request = calls_.call(http::Method::post, upload_url(upload_id_));
  request.headers.set("Content-Type", "application/json");
  request.body = complete_body(parts);
  request.timeout = std::max<std::chrono::milliseconds>(request.timeout, kCompleteTimeout);
  bool lost = false;
  DomainCalls::BeforeAgain noting = [&lost] { return note_lost(lost); };
  Patience patience = calls_.patience();
  std::optional<Error> failed;
  for (;;) {
    http::Request attempt = request;
    const Result<http::Response> answer = co_await calls_.exchange(std::move(attempt), noting);
    const Result<http::Response> good = success(answer);
    if (!good.ok()) {
      failed = good.error();
      break;
    }
    Result<DataItem> item = parse_item(good->body);
    if (item.ok()) co_return item;
    lost = true;  // what stands before the server may have answered for it
    const bool again = co_await patience.again(item.error());
    if (!again) co_return item;
  }
  const bool forgotten = failed->kind == ErrorKind::not_found;
  gone_ = forgotten;
  // An earlier try may have done it, and then it is gone for that reason.
  if (lost && (forgotten || failed->code == "http_409")) {
    co_return Error(ErrorKind::restart, "completion_unknown", failed->detail);
  }
  if (forgotten) co_return upload_gone("the server forgot the upload");
  co_return *failed;
}

/// However it ended: nothing of ours is under way any more, and what is left is left on purpose.
Awaitable<void> PartsUpload::clean_up() {
  workers_.cancel();
  co_await workers_.join();
  if (upload_id_.empty()) co_return;
  if (left_for_later()) {
    calls_.parts().logger.info("upload.kept",
                               {{"name", order_.name}, {"parts", etags_.size()}, {"sent", sent_}});
    co_return;
  }
  if (!done_ && !gone_) co_await abort(upload_id_);
  co_await forget(upload_id_);
}

bool PartsUpload::left_for_later() const {
  if (done_ || gone_ || journal_ == nullptr || !journal_->kept()) return false;
  if (!failure_) return true;
  // One that was taken up, and got nowhere because its server fails at it, may itself be what is
  // wrong. A server that is away says nothing of it.
  const bool fails = taken_up_ && sent_ == 0 && failure_->code == "http_500";
  return passes(*failure_) && !fails;
}

Awaitable<void> PartsUpload::abort(std::string upload_id) {
  http::Request request = calls_.call(http::Method::del, upload_url(upload_id));
  Clock& clock = calls_.parts().clock;
  Awaitable<Result<http::Response>> sending = calls_.exchange(std::move(request));
  const Result<http::Response> answer = co_await with_deadline<http::Response>(
      clock, Deadline::in(clock, kAbortTime), std::move(sending));
  const Result<http::Response> good = success(answer);
  if (!good.ok() && good.error().kind != ErrorKind::not_found) {
    calls_.parts().logger.warn("upload.abort_failed", {log::field(good.error())});
  }
}

Awaitable<void> PartsUpload::forget(std::string upload_id) {
  if (journal_ == nullptr) co_return;
  const auto note = [this, &upload_id] { journal_->end(key_, upload_id); };
  co_await offload(calls_.parts().files, note);
}

}  // namespace pn::storage
