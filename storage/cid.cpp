#include "storage/cid.hpp"

#include "base/encoding.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "http/url.hpp"
#include "storage/naming.hpp"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace pn::storage {
namespace {

Error malformed(const Cid& cid, std::string_view why) {
  return {ErrorKind::rejected,
          "cid_syntax",
          "input " + cid.str().substr(0, 200) + ": " + std::string(why)};
}

Error elsewhere(const Cid& cid, const std::string& why) {
  return {ErrorKind::rejected, "cid_elsewhere", "input " + cid.str().substr(0, 200) + ": " + why};
}

std::string_view without_slash(std::string_view path) {
  while (path.ends_with('/')) path.remove_suffix(1);
  return path;
}

/// "{domain}/data..." after the fixed words; nothing when the path has another shape.
std::optional<std::string_view> after_fixed_words(std::string_view path,
                                                  const http::Url& domain_server) {
  // A relative URL may or may not repeat the prefix that the server's base URL has.
  const std::string_view prefix = without_slash(domain_server.path());
  if (!prefix.empty() && path.starts_with(prefix)) path.remove_prefix(prefix.size());
  constexpr std::string_view kFixed = "/api/v1/domains/";
  if (!path.starts_with(kFixed)) return std::nullopt;
  return path.substr(kFixed.size());
}

Result<DataQuery> from_query(const Cid& cid, const std::string& text) {
  DataQuery out;
  for (const auto& [key, value] : http::parse_query(text)) {
    if (value.empty()) continue;
    if (key == "name") out.name = value;
    if (key == "data_type") out.data_type = value;
    if (key != "ids") continue;
    std::string_view rest = value;
    while (!rest.empty()) {
      const std::size_t comma = std::min(rest.find(','), rest.size());
      if (comma > 0) out.ids.emplace_back(std::string(rest.substr(0, comma)));
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
  }
  if (out.ids.empty() && out.name.empty()) return malformed(cid, "the URL names no data item");
  const bool sound =
      std::ranges::all_of(out.ids, [](const DataId& id) { return is_data_name(id.str()); }) &&
      (out.name.empty() || is_data_name(out.name)) &&
      (out.data_type.empty() || is_data_name(out.data_type));
  if (!sound) return malformed(cid, "ids, names and types are " + std::string(kNameRule));
  return out;
}

Result<DataQuery> from_url(const Cid& cid,
                           const http::Url& url,
                           const http::Url& domain_server,
                           const DomainId& domain) {
  if (url.origin() != domain_server.origin()) {
    return elsewhere(
        cid, "it is on another server than the task's domain server " + domain_server.origin());
  }
  const auto tail = after_fixed_words(url.path(), domain_server);
  const std::size_t slash = tail ? std::min(tail->find('/'), tail->size()) : 0;
  const std::optional<std::string> named =
      tail ? percent_decode(tail->substr(0, slash)) : std::nullopt;
  std::string_view rest = tail ? tail->substr(slash) : std::string_view();
  if (!named || !rest.starts_with("/data")) {
    return malformed(cid, "a URL must look like .../api/v1/domains/{domain}/data/{id}");
  }
  if (*named != domain.str()) return elsewhere(cid, "it is in another domain than the task's");
  rest.remove_prefix(std::string_view("/data").size());
  if (without_slash(rest).empty()) return from_query(cid, url.query());

  const std::optional<std::string> id = percent_decode(without_slash(rest.substr(1)));
  // Several ids are asked for with commas between them: one that holds a comma would be two others.
  const bool sound =
      rest.starts_with('/') && id && is_data_name(*id) && id->find(',') == std::string::npos;
  if (!sound) {
    return malformed(cid, "a URL must look like .../api/v1/domains/{domain}/data/{id}");
  }
  DataQuery out;
  out.ids.emplace_back(*id);
  return out;
}

}  // namespace

bool is_uuid(std::string_view text) {
  if (text.size() != 36) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    const bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
    if (dash ? c != '-' : !hex) return false;
  }
  return true;
}

Result<DataQuery> parse_cid(const Cid& cid,
                            const http::Url& domain_server,
                            const DomainId& domain) {
  const std::string& text = cid.str();
  if (text.empty()) return malformed(cid, "it is empty");
  DataQuery out;
  if (is_uuid(text)) {
    out.ids.emplace_back(text);
    return out;
  }
  const bool absolute = text.find("://") != std::string::npos;
  if (absolute || text.starts_with('/')) {
    const Result<http::Url> url = http::Url::parse(absolute ? text : domain_server.origin() + text);
    if (!url.ok()) return malformed(cid, url.error().detail);
    return from_url(cid, *url, domain_server, domain);
  }
  if (!is_data_name(text)) return malformed(cid, "a name is " + std::string(kNameRule));
  out.name = text;
  return out;
}

}  // namespace pn::storage
