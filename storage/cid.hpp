#pragma once

#include "base/ids.hpp"
#include "base/result.hpp"
#include "http/url.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace pn::storage {

/// 8-4-4-4-12 hex digits of any case.
bool is_uuid(std::string_view text);

/// Which items of a domain are meant. Empty fields do not restrict.
struct DataQuery {
  std::vector<DataId> ids{};
  std::string name{};
  std::string data_type{};

  friend bool operator==(const DataQuery&, const DataQuery&) = default;
};

/// Reads a CID (wire.md, Data) against the lease's domain server and domain:
///   - a UUID: that data item;
///   - a URL, absolute or from "/": ".../api/v1/domains/{domain}/data/{id}", or ".../data?ids=a,b",
///     ".../data?name=x&data_type=y";
///   - any other text without "/": the name of an item.
/// Kind `rejected`: code "cid_elsewhere" for a URL of another origin or domain, because the task's
/// token goes nowhere else; "cid_syntax" for the rest.
Result<DataQuery> parse_cid(const Cid& cid, const http::Url& domain_server, const DomainId& domain);

}  // namespace pn::storage
