#include "storage/task_inputs.hpp"

#include "base/awaitable.hpp"
#include "base/crash_point.hpp"
#include "base/ids.hpp"
#include "base/nursery.hpp"
#include "base/result.hpp"
#include "storage/cid.hpp"
#include "storage/data_list.hpp"
#include "storage/domain_client.hpp"
#include "storage/domain_json.hpp"
#include "storage/download.hpp"
#include "storage/flights.hpp"
#include "storage/parts_writer.hpp"
#include "storage/ports.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/this_coro.hpp>

namespace pn::storage {
namespace {

/// Up to so large, an item costs its request rather than its bytes.
constexpr std::uint64_t kSmallItem = std::uint64_t{1} << 20U;

/// The item that a CID names by its id and nothing else.
std::optional<DataId> single_id(const DataQuery& query) {
  if (query.ids.size() != 1 || !query.name.empty() || !query.data_type.empty()) {
    return std::nullopt;
  }
  return query.ids.front();
}

Error of_input(const Cid& cid, Error error) {
  return within("input " + cid.str().substr(0, 200), std::move(error));
}

/// What the workers of one for_each() share.
struct Round {
  const std::function<Awaitable<Result<void>>(std::size_t)>& step;
  std::size_t count;
  Nursery& workers;
  std::size_t next = 0;
  std::optional<Error> failure;
};

Awaitable<void> work(Round& round) {
  while (round.next < round.count && !round.failure) {
    Awaitable<Result<void>> step = round.step(round.next++);
    const Result<void> done = co_await std::move(step);
    if (done.ok() || round.failure) continue;
    round.failure = done.error();
    round.workers.cancel();
    co_return;
  }
}

}  // namespace

TaskInputs::TaskInputs(std::shared_ptr<DomainClient> client, std::filesystem::path folder)
    : client_(std::move(client)), folder_(std::move(folder)) {}

std::filesystem::path TaskInputs::next_folder(const std::string& name) {
  return folder_ / (name + "-" + std::to_string(++started_));
}

Awaitable<Result<Input>> TaskInputs::fetch(Cid cid) {
  const std::optional<DataItem> unknown;
  const Result<void> done = co_await fetch_listed(cid, unknown);
  if (!done.ok()) co_return done.error();
  co_return fetched_.at(cid);
}

Awaitable<Result<std::vector<Input>>> TaskInputs::fetch_all(std::vector<Cid> cids) {
  std::vector<Cid> wanted;
  std::set<Cid> seen;
  for (const Cid& cid : cids) {
    const Result<DataQuery> query = parse_cid(cid, client_->server(), client_->domain());
    if (!query.ok()) co_return query.error();  // before anything is fetched
    if (!fetched_.contains(cid) && seen.insert(cid).second) wanted.push_back(cid);
  }
  const Result<std::vector<Job>> jobs = co_await plan(std::move(wanted));
  if (!jobs.ok()) co_return jobs.error();
  const Step step = [this, &jobs](std::size_t index) { return do_job((*jobs)[index]); };
  const Result<void> done = co_await for_each(jobs->size(), step);
  if (!done.ok()) co_return done.error();
  std::vector<Input> out;
  out.reserve(cids.size());
  for (const Cid& cid : cids) out.push_back(fetched_.at(cid));
  co_return out;
}

Awaitable<Result<void>> TaskInputs::for_each(std::size_t count, const Step& step) {
  const Executor executor = co_await asio::this_coro::executor;
  const std::size_t most = std::max<std::size_t>(client_->options().download_parallel, 1);
  Nursery workers(executor);
  Round round{.step = step, .count = count, .workers = workers, .failure = std::nullopt};
  for (std::size_t i = 0; i < std::min(most, count); ++i) workers.spawn("input", work(round));
  co_await workers.join();
  if (round.failure) co_return *round.failure;
  co_return Result<void>();
}

/// Whom a list shows to be small goes with others of its kind.
Awaitable<Result<std::vector<TaskInputs::Job>>> TaskInputs::plan(std::vector<Cid> cids) {
  std::vector<Job> jobs;
  std::vector<Cid> named;
  std::vector<DataId> ids;
  std::set<DataId> seen;
  for (Cid& cid : cids) {
    const Result<DataQuery> query = parse_cid(cid, client_->server(), client_->domain());
    const std::optional<DataId> id = query.ok() ? single_id(*query) : std::nullopt;
    if (id && seen.insert(*id).second) {
      named.push_back(std::move(cid));
      ids.push_back(*id);
    } else {
      Job& job = jobs.emplace_back();
      job.cids.push_back(std::move(cid));
    }
  }
  if (named.size() == 1) {
    jobs.emplace_back().cids = std::move(named);
    co_return jobs;
  }

  std::vector<std::span<const DataId>> lists;
  for (std::span<const DataId> rest = ids; !rest.empty();) {
    const std::size_t fitting = std::min(ids_in_one_request(rest), rest.size());
    lists.push_back(rest.first(fitting));
    rest = rest.subspan(fitting);
  }
  std::vector<std::map<DataId, DataItem>> found(lists.size());
  const Step step = [this, &lists, &found](std::size_t index) {
    return look(lists[index], found[index]);
  };
  const Result<void> looked = co_await for_each(lists.size(), step);
  if (!looked.ok()) co_return looked.error();

  std::size_t at = 0;
  for (std::size_t i = 0; i < lists.size(); ++i) {
    Job group;
    for (const DataId& id : lists[i]) {
      Cid& cid = named[at++];
      const auto item = found[i].find(id);
      const bool known = item != found[i].end();
      Job* const job = known && item->second.size <= kSmallItem ? &group : &jobs.emplace_back();
      job->cids.push_back(std::move(cid));
      if (known) job->listed.push_back(std::move(item->second));
    }
    if (!group.cids.empty()) jobs.push_back(std::move(group));
  }
  co_return jobs;
}

Awaitable<Result<void>> TaskInputs::look(std::span<const DataId> ids,
                                         std::map<DataId, DataItem>& found) {
  DataQuery query;
  query.ids.assign(ids.begin(), ids.end());
  Result<std::vector<DataItem>> listed = co_await client_->list(std::move(query));
  if (!listed.ok()) {
    // Each is asked for by itself then, and says what is wrong.
    const ErrorKind kind = listed.error().kind;
    const bool passing = kind == ErrorKind::retry || kind == ErrorKind::unauthorized;
    if (passing && !is_unreadable(listed.error())) co_return listed.error();
    co_return Result<void>();
  }
  for (DataItem& item : *listed) found.emplace(item.id, item);
  co_return Result<void>();
}

Awaitable<Result<void>> TaskInputs::do_job(const Job& job) {
  if (job.cids.size() > 1) {
    Result<void> done = co_await fetch_group(job);
    co_return done;
  }
  Cid cid = job.cids.front();
  std::optional<DataItem> item;
  if (!job.listed.empty()) item = job.listed.front();
  Result<void> done = co_await fetch_listed(std::move(cid), std::move(item));
  co_return done;
}

Awaitable<Result<void>> TaskInputs::fetch_group(const Job& job) {
  DownloadOrder order;
  order.folder = next_folder("inputs");
  order.unlisted = Unlisted::refuse;
  order.listed.emplace();
  std::vector<Flights::Claim> claims;
  std::map<DataId, Cid> cids;
  for (std::size_t i = 0; i < job.cids.size(); ++i) {
    const Cid& cid = job.cids[i];
    std::optional<Flights::Claim> claim = flights_.claim(cid.str());
    if (!claim || fetched_.contains(cid)) continue;
    claims.push_back(*std::move(claim));
    const DataItem& item = job.listed[i];
    order.query.ids.push_back(item.id);
    order.places.emplace(item.id, next_folder("input").filename());
    order.listed->push_back(item);
    cids.emplace(item.id, cid);
  }
  if (!cids.empty()) {
    Result<std::vector<InputFile>> files = co_await client_->download(std::move(order));
    // One that is gone, or has related parts, is asked for by itself below.
    const bool alone = !files.ok() && (files.error().kind == ErrorKind::not_found ||
                                       files.error().code == "parts_unlisted");
    if (!files.ok() && !alone) {
      co_return within("inputs", files.error());
    }
    if (files.ok()) {
      for (InputFile& file : *files) {
        const auto cid = cids.find(file.id);
        if (cid == cids.end()) continue;
        Input input;
        input.cid = cid->second;
        input.files.push_back(std::move(file));
        fetched_.emplace(cid->second, std::move(input));
      }
      crash_point("input.fetched");
    }
  }
  claims.clear();
  for (const Cid& cid : job.cids) {
    const std::optional<DataItem> unknown;
    const Result<void> done = co_await fetch_listed(cid, unknown);
    if (!done.ok()) co_return done;
  }
  co_return Result<void>();
}

/// Until the CID is among fetched_: whoever asks for it while it comes waits for that.
Awaitable<Result<void>> TaskInputs::fetch_listed(Cid cid, std::optional<DataItem> item) {
  for (;;) {
    if (fetched_.contains(cid)) co_return Result<void>();
    const std::optional<Flights::Claim> claim = flights_.claim(cid.str());
    if (!claim) {
      co_await flights_.wait(cid.str());
      continue;
    }
    Result<Input> input = co_await bring(cid, std::move(item));
    if (!input.ok()) co_return of_input(cid, input.error());
    fetched_.emplace(cid, *std::move(input));
    co_return Result<void>();
  }
}

Awaitable<Result<Input>> TaskInputs::bring(Cid cid, std::optional<DataItem> item) {
  Result<DataQuery> query = parse_cid(cid, client_->server(), client_->domain());
  if (!query.ok()) co_return std::move(query).error();
  DownloadOrder order;
  order.query = *std::move(query);
  order.folder = next_folder("input");
  if (item) order.listed.emplace().push_back(*std::move(item));
  Result<std::vector<InputFile>> files = co_await client_->download(std::move(order));
  if (!files.ok()) co_return std::move(files).error();
  crash_point("input.fetched");
  Input input;
  input.cid = std::move(cid);
  input.files = *std::move(files);
  co_return input;
}

}  // namespace pn::storage
