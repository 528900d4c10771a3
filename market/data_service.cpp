#include "market/data_service.hpp"

#include "base/awaitable.hpp"
#include "base/ids.hpp"
#include "base/json.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "http/server.hpp"
#include "http/types.hpp"
#include "market/answers.hpp"
#include "market/blob_store.hpp"
#include "market/data_store.hpp"
#include "market/data_types.hpp"
#include "market/tokens.hpp"

#include <cstddef>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace pn::market {
namespace {

using namespace std::chrono_literals;

constexpr auto kCleanEvery = 10min;
constexpr int kCleansADay = 144;
constexpr auto kSettled = 1h;  // no write lasts this long between its bytes and its record

Awaitable<http::ServerResponse> info(http::ServerRequest&) {
  const Json body{{"upload",
                   {{"request_max_bytes", kRequestMaxBytes},
                    {"multipart", {{"enabled", true}, {"max_parts", kMaxParts}}}}}};
  co_return json_answer(200, body);
}

Awaitable<http::ServerResponse> not_yet(std::string_view what) {
  co_return not_implemented_answer(what);
}

}  // namespace

Result<DomainGrant> DataService::authorize(const http::ServerRequest& request, DataAccess access) {
  const DomainId domain(request.params.at("domain"));
  return parts_.tokens.domain_grant(request.bearer().value_or(""), domain, access);
}

Awaitable<http::ServerResponse> DataService::answered(Answer answer) {
  Result<http::ServerResponse> response = co_await std::move(answer);
  if (response) co_return std::move(*response);
  const Error& error = response.error();
  if (error.kind == ErrorKind::full) {
    parts_.logger.error("data.store_filled", {log::field(error)});
  } else if (is_host_fault(error)) {
    parts_.logger.error("data.request_failed", {log::field(error)});
  }
  co_return error_answer(error);
}

Awaitable<void> DataService::clean() {
  for (int round = 0;; round = (round + 1) % kCleansADay) {
    co_await remove_expired_uploads();
    if (round == 0) co_await remove_unknown_blobs();
    co_await parts_.clock.sleep_for(kCleanEvery);
  }
}

Awaitable<void> DataService::remove_expired_uploads() {
  const SystemTime now = parts_.clock.system_now();
  const std::function<Result<std::vector<BlobId>>(soci::session&)> work =
      [&](soci::session& session) -> Result<std::vector<BlobId>> {
    return erase_expired_uploads(session, now);
  };
  const Result<std::vector<BlobId>> expired =
      co_await parts_.database.write<std::vector<BlobId>>(work);
  if (!expired) {
    parts_.logger.warn("data.clean_failed", {log::field(expired.error())});
    co_return;
  }
  for (const BlobId& blob : *expired) parts_.blobs.discard(blob);
  if (!expired->empty()) parts_.logger.info("uploads.expired", {{"count", expired->size()}});
}

Awaitable<void> DataService::remove_unknown_blobs() {
  std::size_t count = 0;
  for (unsigned shard = 0; shard < BlobStore::kShards; ++shard) {
    const SystemTime before = parts_.clock.system_now() - kSettled;
    const Result<std::vector<BlobId>> there = co_await parts_.blobs.settled(shard, before);
    if (!there) {
      parts_.logger.warn("data.clean_failed", {log::field(there.error())});
      co_return;
    }
    if (there->empty()) continue;
    const std::function<Result<std::vector<BlobId>>(soci::session&)> work =
        [&](soci::session& session) -> Result<std::vector<BlobId>> {
      return unknown_blobs(session, *there);
    };
    // What gets its record after the snapshot of the read is no longer loose when that is back.
    const std::set<BlobId> loose_before = loose_;
    const Result<std::vector<BlobId>> unknown =
        co_await parts_.database.read<std::vector<BlobId>>(work);
    if (!unknown) {
      parts_.logger.warn("data.clean_failed", {log::field(unknown.error())});
      co_return;
    }
    for (const BlobId& blob : *unknown) {
      if (loose_before.contains(blob) || loose_.contains(blob)) continue;
      parts_.blobs.discard(blob);
      ++count;
    }
  }
  if (count > 0) parts_.logger.info("blobs.removed", {{"count", count}});
}

void add_data_routes(http::Router& router, DataService& service) {
  using http::Method;
  using http::ServerRequest;
  using Served = DataService::Answer (DataService::*)(ServerRequest&);
  const auto add = [&](Method method, std::string_view pattern, Served served) {
    router.add(method, pattern, [&service, served](ServerRequest& request) {
      return service.answered((service.*served)(request));
    });
  };
  const std::string domain = "/api/v1/domains/{domain}";
  const std::string data = domain + "/data";
  const std::string upload = data + "/multipart";
  const std::string one = data + "/{id}";
  add(Method::get, data, &DataService::list);
  add(Method::post, data, &DataService::create);
  add(Method::put, data, &DataService::update);
  add(Method::get, one, &DataService::read);
  add(Method::del, one, &DataService::remove);
  add(Method::post, upload, &DataService::post_upload);
  add(Method::put, upload, &DataService::put_upload_part);
  add(Method::del, upload, &DataService::abort_upload);
  router.add(Method::get, "/api/v1/info", info);

  const auto later = [&](Method method, const std::string& path, std::string_view what) {
    router.add(method, domain + path, [what](ServerRequest&) { return not_yet(what); });
  };
  for (const auto* path : {"/lighthouses", "/lighthouses/{id}"}) {
    for (const Method method : {Method::get, Method::put, Method::del}) {
      later(method, path, "poses of portals");
    }
  }
  later(Method::get, "/backup", "backups of a domain");
  later(Method::put, "/restore", "restoring a domain");
  later(Method::post, "/process", "starting processing; submit a job to the DMS instead");
}

}  // namespace pn::market
