#include "base/encoding.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "http/proxy.hpp"
#include "http/url.hpp"
#include "storage/cid.hpp"
#include "storage/naming.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// A URL, a CID, a query, a name for a file, an item of NO_PROXY: the same text as each of them.
namespace pn {
namespace {

using fuzz::require;

http::Url url(std::string_view text) { return *http::Url::parse(text); }

void check_url(std::string_view text) {
  const Result<http::Url> parsed = http::Url::parse(text);
  if (!parsed.ok()) {
    require(parsed.error().code == "url_syntax", "a bad URL is called one");
    return;
  }
  const Result<http::Url> again = http::Url::parse(parsed->str());
  require(again.ok() && *again == *parsed, "a URL is read back");
  require(parsed->str().starts_with(parsed->origin() + "/"), "an origin is the beginning");
  require(parsed->path().starts_with('/') && parsed->port() != 0, "a URL has a path and a port");
  require(parsed->str().find_first_of(std::string_view("\r\n \t#\0", 6)) == std::string::npos,
          "a URL fits into a request's line");
  require(url(parsed->origin()).origin() == parsed->origin(), "an origin is a URL");
}

void check_made(std::string_view text) {
  const http::Url base = url("https://a.test/v1/?x=1");
  const http::Url segment = base.append({"data", text, "end"});
  require(segment.origin() == base.origin(), "a segment stays at its origin");
  require(http::Url::parse(segment.str()).ok(), "a segment makes a URL");
  const std::string& path = segment.path();
  require(std::ranges::count(path, '/') == 4, "a segment is one");
  const std::size_t begin = path.find('/', 4) + 1;
  const std::string between = path.substr(begin, path.rfind('/') - begin);
  require(between != "." && between != "..", "no segment leads elsewhere");
  require(percent_decode(between) == text, "a segment is read back");

  const http::Url query = base.with_query("k&=", text).with_query("second", "2");
  const http::QueryPairs pairs = http::parse_query(query.query());
  require(pairs.size() == 3 && pairs[1].first == "k&=" && pairs[1].second == text,
          "a query's value is read back");
  require(http::Url::parse(query.str()).ok(), "a query makes a URL");
}

/// Each CID, asked for as the node does, means the same again, in the task's domain.
void check_cid(std::string_view text) {
  const http::Url server = url("https://domain.test:8443/prefix/");
  const DomainId domain("dom-1");
  const Cid cid{std::string(text)};
  const Result<storage::DataQuery> parsed = storage::parse_cid(cid, server, domain);
  if (!parsed.ok()) {
    require(parsed.error().kind == ErrorKind::rejected, "a bad CID is the job's fault");
    return;
  }
  require(!parsed->ids.empty() || !parsed->name.empty(), "a CID means something");
  std::string ids;
  for (const DataId& id : parsed->ids) {
    require(storage::is_data_name(id.str()), "an id is one that may be asked for");
    ids += (ids.empty() ? "" : ",") + id.str();
  }
  for (const std::string* name : {&parsed->name, &parsed->data_type}) {
    require(name->empty() || storage::is_data_name(*name), "a name is one that may be asked for");
  }
  if (text.find("://") != std::string_view::npos) {
    const http::Url named = url(text);
    require(named.origin() == server.origin(), "no CID leads to another origin");
    require(named.path().find("/domains/") != std::string::npos, "a CID's URL names its domain");
  }
  http::Url asked = server.append({"api", "v1", "domains", domain.str(), "data"});
  if (!ids.empty()) asked = asked.with_query("ids", ids);
  if (!parsed->name.empty()) asked = asked.with_query("name", parsed->name);
  if (!parsed->data_type.empty()) asked = asked.with_query("data_type", parsed->data_type);
  const auto again = storage::parse_cid(Cid{asked.str()}, server, domain);
  require(again.ok() && *again == *parsed, "what is asked for is what the CID means");
}

void check_names(std::string_view text) {
  const std::string half(text.substr(0, text.size() / 2));
  const std::filesystem::path path = storage::download_path(half, text.substr(text.size() / 2));
  require(path.is_relative() && path.begin()->string() == "datasets", "a download stays inside");
  require(std::distance(path.begin(), path.end()) == 3, "it is a file of a scan");
  for (const auto& step : path) require(step != ".." && step != "." && !step.empty(), "no way out");

  storage::ArtifactNames names(TaskId("t1"), half);
  const auto made = names.name(text, {});
  if (!made.ok()) return;
  require(storage::is_data_name(made->name) && storage::is_data_name(made->data_type),
          "an artifact's name is one that servers take");
  const auto same = names.name(text, {});
  require(same.ok() && *same == *made, "the same path has the same name");
  const auto other = names.name(std::string(text) + "x", {});
  require(!other.ok() || other->name != made->name || other->data_type != made->data_type,
          "another path has another name");
}

void check_no_proxy(std::string_view text) {
  for (const char* at : {"https://a.test", "http://192.0.2.7:81", "http://[2001:db8::7]"}) {
    const bool named = http::no_proxy_names(text, url(at));
    const std::string more = std::string(text) + ",zz.invalid";
    require(http::no_proxy_names(more, url(at)) == named, "items do not touch each other");
    require(http::no_proxy_names(std::string(text) + ", *", url(at)), "* is everybody");
  }
}

}  // namespace
}  // namespace pn

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  pn::check_url(text);
  pn::check_made(text);
  pn::check_cid(text);
  pn::check_names(text);
  pn::check_no_proxy(text);
  return 0;
}
