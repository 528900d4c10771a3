#pragma once

#include "base/awaitable.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "http/url.hpp"
#include "storage/cid.hpp"
#include "storage/domain_calls.hpp"
#include "storage/domain_json.hpp"

#include <cstddef>
#include <span>
#include <vector>

namespace pn::storage {

/// ".../data?ids=a,b&name=&data_type="
http::Url data_url(const DomainCalls& calls, const DataQuery& query);

/// How many of `ids`, from the first, one request may ask for: servers and proxies take URLs of a
/// few KiB. At least one.
std::size_t ids_in_one_request(std::span<const DataId> ids);

/// The metadata of all that fits, in as many requests as its ids need. Kind `not_found` where the
/// server says that nothing does, or does not know the call.
Awaitable<Result<std::vector<DataItem>>> list_data(DomainCalls& calls, DataQuery query);
Awaitable<Result<DataItem>> describe_data(DomainCalls& calls, DataId id);

}  // namespace pn::storage
