#include "storage/data_list.hpp"

#include "base/awaitable.hpp"
#include "base/encoding.hpp"
#include "base/ids.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "http/client.hpp"
#include "http/types.hpp"
#include "http/url.hpp"
#include "storage/cid.hpp"
#include "storage/domain_calls.hpp"
#include "storage/domain_json.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace pn::storage {
namespace {

/// A listing comes whole, about 270 bytes an item: the ordinary limit is reached at 7,500 items.
constexpr std::uint64_t kListLimit = 64 * 1024 * 1024;
constexpr std::size_t kUrlBytes = 6000;
/// More would hold up the loop.
constexpr std::size_t kParsedHere = 256 * 1024;

Awaitable<Result<std::vector<DataItem>>> list_once(DomainCalls& calls, const DataQuery& query) {
  http::Request request = calls.call(http::Method::get, data_url(calls, query));
  request.body_limit = kListLimit;
  Result<http::Response> answer = co_await calls.exchange(std::move(request));
  const Result<http::Response> good = success(std::move(answer));
  if (!good.ok()) co_return good.error();
  if (good->body.size() <= kParsedHere) co_return parse_items(good->body);
  const auto parse = [&good] { return parse_items(good->body); };
  Result<std::vector<DataItem>> items = co_await offload(calls.parts().files, parse);
  co_return items;
}

}  // namespace

http::Url data_url(const DomainCalls& calls, const DataQuery& query) {
  http::Url url = calls.data();
  std::string ids;
  for (const DataId& id : query.ids) ids += (ids.empty() ? "" : ",") + id.str();
  if (!ids.empty()) url = url.with_query("ids", ids);
  if (!query.name.empty()) url = url.with_query("name", query.name);
  if (!query.data_type.empty()) url = url.with_query("data_type", query.data_type);
  return url;
}

std::size_t ids_in_one_request(std::span<const DataId> ids) {
  constexpr std::size_t kComma = 3;  // encoded
  std::size_t count = 0;
  std::size_t bytes = 0;
  for (const DataId& id : ids) {
    bytes += percent_encode(id.str()).size() + kComma;
    if (bytes > kUrlBytes) break;
    ++count;
  }
  return std::max<std::size_t>(count, 1);
}

Awaitable<Result<std::vector<DataItem>>> list_data(DomainCalls& calls, DataQuery query) {
  std::vector<DataItem> all;
  std::optional<Error> none;
  std::vector<DataId> left = query.ids;
  do {
    const std::size_t fitting = std::min(ids_in_one_request(left), left.size());
    const auto end = left.begin() + static_cast<std::ptrdiff_t>(fitting);
    query.ids.assign(left.begin(), end);
    left.erase(left.begin(), end);
    Result<std::vector<DataItem>> some = co_await list_once(calls, query);
    if (some.ok()) {
      std::move(some->begin(), some->end(), std::back_inserter(all));
    } else if (some.error().kind == ErrorKind::not_found) {
      none = some.error();  // of these; there may be others
    } else {
      co_return some;
    }
  } while (!left.empty());
  if (all.empty() && none) co_return *none;
  co_return all;
}

Awaitable<Result<DataItem>> describe_data(DomainCalls& calls, DataId id) {
  http::Request request = calls.call(http::Method::get, calls.data().append({id.str()}));
  Result<http::Response> answer = co_await calls.exchange(std::move(request));
  const Result<http::Response> good = success(std::move(answer));
  if (!good.ok()) co_return within("data " + id.str(), good.error());
  co_return parse_item(good->body);
}

}  // namespace pn::storage
