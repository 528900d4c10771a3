#include "storage/raw_download.hpp"

#include "base/awaitable.hpp"
#include "base/ids.hpp"
#include "base/log.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "http/body.hpp"
#include "http/client.hpp"
#include "http/types.hpp"
#include "http/url.hpp"
#include "storage/data_list.hpp"
#include "storage/domain_calls.hpp"
#include "storage/domain_json.hpp"
#include "storage/incoming_file.hpp"
#include "storage/raw_answer.hpp"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace pn::storage {
namespace {

/// The answer's bytes after those that the file has, or instead of them.
class RawSink final : public http::BodySink {
 public:
  RawSink(IncomingFile& file, RawAsk ask, ThreadPool& files)
      : file_(file), ask_(std::move(ask)), files_(files) {}

  Result<void> begin(int status, const http::Headers& headers) override {
    Result<RawAnswer> answer = read_raw_head(status, headers, ask_);
    if (!answer.ok()) return std::move(answer).error();
    const bool goes_on = answer->from > 0;
    const std::optional<std::string>& before = file_.promised();
    if (goes_on && before && answer->sha256 && *before != *answer->sha256) {
      return Error(ErrorKind::restart, "item_changed", "the data item has another digest now");
    }
    answer_ = *std::move(answer);
    anew_ = !goes_on;
    return {};
  }

  Awaitable<Result<void>> write(std::string_view bytes) override {
    const auto work = [this, bytes] { return write_now(bytes); };
    Result<void> done = co_await offload(files_, work);
    co_return done;
  }

  /// The body is over: one without a byte was never written.
  Awaitable<Result<void>> end() {
    Result<void> done = co_await write({});
    co_return done;
  }

  /// Nothing: the answer did not come so far.
  [[nodiscard]] const std::optional<RawAnswer>& answer() const { return answer_; }

 private:
  Result<void> write_now(std::string_view bytes) {
    if (anew_) {
      anew_ = false;
      const std::optional<std::string> before = file_.promised();
      Result<void> done = file_.restart();
      if (!done.ok()) return done;
      if (before && !answer_->sha256) file_.promise(*before);
    }
    if (answer_->sha256 && !file_.promised()) file_.promise(*answer_->sha256);
    const std::optional<std::uint64_t> most = ask_.size ? ask_.size : answer_->size;
    if (most && bytes.size() > *most - std::min(*most, file_.size())) {
      return Error(ErrorKind::restart, "item_changed", "more bytes came than the data item has");
    }
    return file_.write(bytes);
  }

  IncomingFile& file_;
  const RawAsk ask_;
  ThreadPool& files_;
  std::optional<RawAnswer> answer_;
  bool anew_ = false;
};

}  // namespace

RawDownload::RawDownload(DomainCalls& calls, DataId id, Expected expected, IncomingFile file)
    : calls_(calls), id_(std::move(id)), expected_(std::move(expected)), file_(std::move(file)) {}

Awaitable<Result<void>> RawDownload::run() {
  Patience patience = calls_.patience();
  std::uint64_t furthest = file_.size();
  for (;;) {
    const Result<void> done = co_await attempt();
    if (done.ok()) co_return done;
    if (file_.size() > furthest) patience.progressed();
    furthest = std::max(furthest, file_.size());
    Error error = done.error();
    if (error.kind == ErrorKind::restart) {  // whichever version it is that comes whole
      const Result<void> anew = co_await restart();
      if (!anew.ok()) co_return anew;
      error.kind = ErrorKind::retry;
    }
    const bool again = co_await patience.again(error);
    if (!again) co_return error;
    calls_.parts().logger.debug("storage.download_retried", {log::field(error)});
  }
}

Awaitable<Result<void>> RawDownload::attempt() {
  const bool broke_at_its_end = file_.size() > 0 && expected_.size == file_.size();
  if (!broke_at_its_end) {
    // Without a mark of its version the rest might be of another than the beginning.
    if (etag_.empty() && expected_.updated_at.empty()) {
      const Result<void> anew = co_await restart();
      if (!anew.ok()) co_return anew;
    }
    const Result<void> got = co_await ask();
    if (!got.ok()) co_return got;
  }
  Result<void> length = check_length();
  if (!length.ok()) co_return length;
  const Result<void> digest = co_await check_digest();
  if (!digest.ok()) co_return digest;
  const Result<void> version = co_await check_version();
  co_return version;
}

Awaitable<Result<void>> RawDownload::ask() {
  RawAsk ask;
  ask.from = file_.size();
  ask.size = expected_.size;
  ask.etag = etag_;
  http::Request request = calls_.transfer(
      http::Method::get, calls_.data().append({id_.str()}).with_query("raw", "true"));
  request.headers.set("Accept", "*/*");
  if (ask.from > 0) {
    request.headers.set("Range", "bytes=" + std::to_string(ask.from) + "-");
    if (!etag_.empty()) request.headers.set("If-Range", etag_);
  }
  const bool ranged = ask.from > 0;
  RawSink sink(file_, std::move(ask), calls_.parts().files);
  request.sink = &sink;
  const Result<http::Response> answer = co_await calls_.once(std::move(request));
  if (sink.answer()) joined(*sink.answer());
  const bool refused = answer.ok() && answer->status == 416;
  if (ranged && (refused || (!answer.ok() && answer.error().code == "range_wrong"))) {
    const Result<void> anew = co_await restart();
    if (!anew.ok()) co_return anew;
    if (!answer.ok()) co_return answer.error();
    co_return Error(ErrorKind::retry, "range_refused", "the server does not have that range");
  }
  const Result<http::Response> good = success(answer);
  if (!good.ok()) co_return good.error();
  Result<void> ended = co_await sink.end();
  co_return ended;
}

/// What is known of the file's bytes once the answer's are among them.
void RawDownload::joined(const RawAnswer& answer) {
  const bool goes_on = answer.from > 0;
  // Before these bytes came, an If-Range had the server compare.
  const bool same = !etag_.empty();
  one_version_ = goes_on ? one_version_ && same : true;
  if (!goes_on || !answer.etag.empty()) etag_ = answer.etag;
  framed_ = answer.framed;
  stated_ = answer.size;
}

Result<void> RawDownload::check_length() const {
  const std::optional<std::uint64_t> whole = expected_.size ? expected_.size : stated_;
  if (!whole || *whole == file_.size()) return {};
  return Error(ErrorKind::retry,
               "download_short",
               std::to_string(file_.size()) + " of " + std::to_string(*whole) + " bytes came");
}

Awaitable<Result<void>> RawDownload::check_digest() {
  const auto work = [this](const std::atomic<bool>& stop) { return file_.verify(stop); };
  Result<void> right = co_await offload_stoppable(calls_.parts().files, work);
  if (right.ok() || right.error().kind != ErrorKind::retry) co_return right;
  const Result<void> anew = co_await restart();
  if (!anew.ok()) co_return anew;
  co_return right;
}

Awaitable<Result<void>> RawDownload::check_version() {
  const bool length_known = framed_ || expected_.size;
  if (file_.promised() || (one_version_ && length_known)) co_return Result<void>();
  const Result<DataItem> now = co_await describe_data(calls_, id_);
  const bool unchanged = now.ok() && now->size == file_.size() &&
                         (one_version_ || now->updated_at == expected_.updated_at);
  // A server without the call can at least be believed where one answer brought it all.
  const bool no_call = !now.ok() && now.error().kind == ErrorKind::not_found;
  if (unchanged || (no_call && one_version_)) co_return Result<void>();
  if (!now.ok() && !no_call) co_return now.error();
  const Result<void> anew = co_await restart();
  if (!anew.ok()) co_return anew;
  co_return Error(ErrorKind::retry, "item_changed", "the data item changed while it was read");
}

Awaitable<Result<void>> RawDownload::restart() {
  etag_.clear();
  one_version_ = framed_ = true;
  stated_.reset();
  if (file_.size() == 0) co_return Result<void>();
  const auto work = [this] { return file_.restart(); };
  Result<void> done = co_await offload(calls_.parts().files, work);
  co_return done;
}

}  // namespace pn::storage
