#include "storage/download.hpp"

#include "base/awaitable.hpp"
#include "base/finally.hpp"
#include "base/log.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "http/client.hpp"
#include "http/types.hpp"
#include "storage/cid.hpp"
#include "storage/data_list.hpp"
#include "storage/domain_calls.hpp"
#include "storage/domain_json.hpp"
#include "storage/download_folder.hpp"
#include "storage/incoming_file.hpp"
#include "storage/input_budget.hpp"
#include "storage/item_claims.hpp"
#include "storage/listing.hpp"
#include "storage/parts_sink.hpp"
#include "storage/parts_writer.hpp"
#include "storage/ports.hpp"
#include "storage/raw_download.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace pn::storage {
namespace {

/// An answer that says: this server does not know the call.
bool is_no_such_call(const Error& error) {
  return error.code == "http_404" || error.code == "http_405" || error.code == "http_406" ||
         error.code == "http_410" || error.code == "http_501";
}

/// A break that another request can mend. What contradicts itself was damaged on its way, or is the
/// page of a proxy.
bool is_break(const Error& error) {
  return error.kind == ErrorKind::retry || error.code == "item_changed" ||
         error.code == "data_incomplete" || error.code.starts_with("multipart_");
}

/// A server that ignores the filter must not make us wait for what it was not asked for.
bool fits(const DataQuery& query, const DataItem& item) {
  const bool named = query.ids.empty() || std::ranges::find(query.ids, item.id) != query.ids.end();
  return named && (query.name.empty() || query.name == item.name) &&
         (query.data_type.empty() || query.data_type == item.data_type);
}

}  // namespace

Download::Download(DomainCalls& calls, InputBudget& budget, DownloadOrder order)
    : calls_(calls),
      budget_(budget),
      order_(std::move(order)),
      folder_(order_.folder, order_.places, calls.make_room()),
      items_(calls) {}

Awaitable<Result<std::vector<InputFile>>> Download::run() {
  Awaitable<Result<std::vector<InputFile>>> trying = try_all();
  const std::function<Awaitable<void>()> cleaning = [this] { return clean_up(); };
  Result<std::vector<InputFile>> done =
      co_await finally<Result<std::vector<InputFile>>>(std::move(trying), cleaning);
  co_return done;
}

/// All is there, or nothing is left.
Awaitable<void> Download::clean_up() {
  items_.release_all();
  if (complete_) {
    folder_.keep();
    co_return;
  }
  if (sink_) reserved_ += sink_->take_reserved();  // of an answer that was cut off
  budget_.give_back(std::exchange(reserved_, 0));
  co_await remove();
}

Awaitable<void> Download::remove() {
  const auto work = [this] {  // a large file is not unlinked at once
    sink_.reset();
    half_.reset();
    folder_.clear();
  };
  co_await offload(calls_.parts().files, work);
}

Awaitable<Result<std::vector<InputFile>>> Download::try_all() {
  Patience patience = calls_.patience();
  std::uint64_t furthest = 0;
  for (;;) {
    if (!looked_) {
      const Result<void> looked = co_await look();
      if (!looked.ok()) co_return looked.error();
    }
    moved_ = false;
    const SteadyTime begun = calls_.parts().clock.steady_now();
    const Result<void> done = co_await advance();
    if (done.ok()) {
      std::vector<InputFile> all = files();
      complete_ = true;
      co_return all;
    }
    const std::uint64_t now = bytes();
    if (now > furthest) patience.progressed();
    // What begins anew each time comes no further, but its server is not away.
    if (moved_) patience.moved(calls_.parts().clock.steady_now() - begun);
    furthest = std::max(furthest, now);

    Error error = done.error();
    if (!is_break(error)) co_return error;
    const bool changed = error.code == "item_changed" || error.code == "data_incomplete";
    if (changed || !resumable()) {
      co_await begin_anew();
    }
    error.kind = ErrorKind::retry;
    const bool again = co_await patience.again(error);
    if (!again) co_return error;
    calls_.parts().logger.debug("storage.download_retried", {log::field(error)});
  }
}

Awaitable<Result<void>> Download::look() {
  looked_ = true;
  std::vector<DataItem> items;
  if (order_.listed) {
    items = *std::exchange(order_.listed, std::nullopt);
  } else {
    Result<std::vector<DataItem>> listed = co_await list_data(calls_, order_.query);
    if (listed.ok()) {
      items = *std::move(listed);
    } else if (!is_unreadable(listed.error()) && !is_no_such_call(listed.error())) {
      co_return listed.error();
    }
  }
  for (DataItem& item : items) {
    if (listing_.find(item.id) || !fits(order_.query, item)) continue;
    Listing::Entry entry;
    entry.path = folder_.place(item.id, item.name, item.data_type);
    entry.item = std::move(item);
    listing_.add(std::move(entry));
  }
  listed_ = !listing_.empty();
  Result<void> fits = budget_.reserve(listing_.bytes());
  if (fits.ok()) reserved_ += listing_.bytes();
  co_return fits;
}

Awaitable<Result<void>> Download::advance() {
  for (;;) {
    if (half_) {
      const Result<void> done = co_await go_on_by_range();
      if (!done.ok()) co_return done;
      continue;
    }
    if (!listed_) {
      DataQuery query = order_.query;
      std::vector<std::size_t> nothing;
      Result<void> done = co_await stream(std::move(query), std::move(nothing));
      co_return done;
    }
    ItemClaims::Turn turn = co_await items_.take(listing_, folder_);
    from_cache_ = from_cache_ || turn.taken;
    if (!turn.ours.empty()) {
      const Result<void> done = co_await fetch(std::move(turn.ours));
      if (!done.ok()) co_return done;
      continue;
    }
    if (!turn.others) co_return Result<void>();
    items_.release_all();  // of what came unasked, or before a break
    co_await items_.wait(listing_, *turn.others);
  }
}

Awaitable<Result<void>> Download::fetch(std::vector<std::size_t> wanted) {
  DataQuery query = order_.query;
  const bool all = wanted.size() == listing_.entries().size();
  if (!all || ids_in_one_request(query.ids) < query.ids.size()) {
    query = DataQuery();
    for (const std::size_t index : wanted) query.ids.push_back(listing_.at(index).item.id);
    const std::size_t fitting = ids_in_one_request(query.ids);
    query.ids.resize(std::min(fitting, query.ids.size()));
    wanted.resize(query.ids.size());
  }
  Result<void> done = co_await stream(std::move(query), std::move(wanted));
  co_return done;
}

Awaitable<Result<void>> Download::stream(DataQuery query, std::vector<std::size_t> asked) {
  PartsWriter::Order order;
  order.asked = asked;
  order.unlisted = order_.unlisted;
  sink_.emplace(folder_, listing_, budget_, std::move(order), calls_.parts().files);
  http::Request request = calls_.transfer(http::Method::get, data_url(calls_, query));
  request.headers.set("Accept", "multipart/form-data");
  request.sink = &*sink_;
  const Result<http::Response> answer = co_await calls_.once(std::move(request));
  const Result<http::Response> good = success(answer);
  const Result<void> ended = co_await sink_->end();
  reserved_ += sink_->take_reserved();
  moved_ = moved_ || sink_->begun();
  accounted_ = accounted_ && sink_->accounted();
  take_in(sink_->take_parts());
  // Said of what a list names, it is no answer to believe: see below.
  const bool empty = !ended.ok() && ended.error().code == "data_missing" && !asked.empty();
  if (!good.ok() || (!ended.ok() && !empty)) {
    // What the disk says matters more than that the connection broke too.
    const bool of_disk = !ended.ok() && !is_break(ended.error());
    const Error why = good.ok() || of_disk ? ended.error() : good.error();
    std::optional<PartsWriter::Half> half = sink_->take_half();
    if (half && half->part.listed && resumable() && !no_ranges_ && is_break(why)) {
      take_half(*std::move(half));
    } else {
      const auto drop = [&half] { half.reset(); };
      co_await offload(calls_.parts().files, drop);
    }
    co_return why;
  }
  for (const std::size_t index : asked) {
    if (listing_.at(index).file) continue;
    co_return Error(ErrorKind::retry,
                    "data_incomplete",
                    "the domain server sent no data " + listing_.at(index).item.id.str() +
                        ", which its list names");
  }
  // With parts that no list names, a list and a cache would not bring the same again; and of
  // several items the first sent is the primary one, which a list does not tell.
  if (unlisted_.empty() && (in_order_ || order_.unlisted == Unlisted::refuse)) {
    std::vector<std::size_t> worth = worth_keeping(asked);
    co_await items_.keep(listing_, std::move(worth));
  }
  for (const std::size_t index : asked) items_.release(index);
  co_return Result<void>();
}

/// All, but not many small ones, which are not synced and sooner fetched than kept.
std::vector<std::size_t> Download::worth_keeping(const std::vector<std::size_t>& came) const {
  std::vector<std::size_t> large;
  for (const std::size_t index : came) {
    if (listing_.at(index).item.size > DownloadFolder::kSmall) large.push_back(index);
  }
  const bool few = came.size() - large.size() <= DownloadFolder::kFew;
  return few ? came : large;
}

void Download::take_in(std::vector<PartsWriter::Part> parts) {
  std::size_t last = 0;
  for (PartsWriter::Part& part : parts) {
    if (!part.listed) {
      unlisted_.push_back(part.file);
      came_.push_back(std::move(part.file));
      continue;
    }
    in_order_ = in_order_ && *part.listed >= last;
    last = *part.listed;
    arrived(*part.listed, std::move(part.file));
  }
}

void Download::take_half(PartsWriter::Half half) {
  const std::size_t index = *half.part.listed;
  const DataItem& item = listing_.at(index).item;
  RawDownload::Expected expected;
  expected.size = item.size;
  expected.updated_at = item.updated_at;
  RawDownload raw(calls_, item.id, std::move(expected), std::move(half.bytes));
  half_.emplace(Half{.index = index, .raw = std::move(raw)});
}

void Download::arrived(std::size_t index, InputFile file) {
  came_.push_back(file);
  listing_.at(index).file = std::move(file);
}

Awaitable<Result<void>> Download::go_on_by_range() {
  const Result<void> done = co_await half_->raw.attempt();
  const std::size_t index = half_->index;
  if (!done.ok()) {
    if (!is_no_such_call(done.error())) co_return done;
    no_ranges_ = true;
    const auto drop = [this] { half_.reset(); };
    co_await offload(calls_.parts().files, drop);
    co_return Result<void>();
  }
  const Listing::Entry& entry = listing_.at(index);
  const auto work = [this, &entry]() -> Result<void> {
    Result<void> landed = folder_.land(std::move(half_->raw).take(), entry.path);
    half_.reset();
    if (!landed.ok()) return landed;
    return folder_.settle();
  };
  const Result<void> landed = co_await offload(calls_.parts().files, work);
  if (!landed.ok()) co_return landed;
  arrived(index, file_of(entry));
  items_.release(index);  // not kept: in the list's order or not, is not known
  co_return Result<void>();
}

Awaitable<void> Download::begin_anew() {
  co_await remove();
  items_.release_all();
  budget_.give_back(std::exchange(reserved_, 0));
  looked_ = !listed_;  // a server without a list is not asked for it again
  listing_ = Listing();
  listed_ = from_cache_ = false;
  accounted_ = in_order_ = true;
  came_.clear();
  unlisted_.clear();
}

std::uint64_t Download::bytes() const {
  std::uint64_t sum = half_ ? half_->raw.file().size() : 0;
  for (const InputFile& file : came_) sum += file.size;
  return sum;
}

std::vector<InputFile> Download::files() const {
  if (!from_cache_) return came_;
  std::vector<InputFile> out;
  for (const Listing::Entry& entry : listing_.entries()) {
    if (entry.file) out.push_back(*entry.file);
  }
  out.insert(out.end(), unlisted_.begin(), unlisted_.end());
  return out;
}

}  // namespace pn::storage
