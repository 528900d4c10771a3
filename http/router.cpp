#include "base/encoding.hpp"
#include "http/server.hpp"
#include "http/types.hpp"

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pn::http {
namespace {

bool is_capture(std::string_view segment) {
  return segment.size() > 2 && segment.front() == '{' && segment.back() == '}';
}

/// "/a//b/" is {"a", "b", ""}: doubled slashes count once (a base URL that ends in "/" makes them),
/// one at the end counts.
std::vector<std::string> split(std::string_view path) {
  std::vector<std::string> out;
  out.reserve(8);
  while (!path.empty()) {
    path.remove_prefix(1);  // the "/"
    const std::size_t end = std::min(path.find('/'), path.size());
    const std::string_view segment = path.substr(0, end);
    path.remove_prefix(end);
    if (segment.empty() && !path.empty()) continue;
    out.push_back(percent_decode(segment).value_or(std::string(segment)));
  }
  return out;
}

bool matches(const std::vector<std::string>& pattern, const std::vector<std::string>& segments) {
  return std::ranges::equal(pattern, segments, [](const auto& want, const auto& have) {
    return is_capture(want) ? !have.empty() : want == have;
  });
}

/// True when `a` has a literal at the first place where just one of them has.
bool more_literal(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (is_capture(a[i]) != is_capture(b[i])) return is_capture(b[i]);
  }
  return false;
}

/// Fills in the answer to a path that is served, but not with this method.
void refuse_method(Router::Match& out, std::vector<std::string_view> allowed) {
  out.status = 405;
  std::ranges::sort(allowed);
  allowed.erase(std::unique(allowed.begin(), allowed.end()), allowed.end());
  for (const std::string_view one : allowed) {
    out.allow += (out.allow.empty() ? "" : ", ") + std::string(one);
    if (one == "GET") out.allow += ", HEAD";
  }
}

}  // namespace

void Router::add(Method method, std::string_view pattern, Handler handler) {
  routes_.push_back({method, std::string(pattern), split(pattern), std::move(handler)});
}

Router::Match Router::match(Method method, std::string_view path) const {
  Match out;
  if (!path.starts_with('/')) return out;
  const std::vector<std::string> segments = split(path);
  const Route* best = nullptr;
  const auto better = [&](const Route& route) {
    if (best == nullptr || more_literal(route.segments, best->segments)) return true;
    if (more_literal(best->segments, route.segments)) return false;
    return best->method != method && route.method == method;  // HEAD falls back to GET
  };
  std::vector<std::string_view> allowed;
  for (const Route& route : routes_) {
    if (route.segments.size() != segments.size() || !matches(route.segments, segments)) continue;
    const bool serves =
        route.method == method || (method == Method::head && route.method == Method::get);
    if (!serves) {
      allowed.push_back(name(route.method));
    } else if (better(route)) {
      best = &route;
    }
  }
  if (best == nullptr) {
    if (!allowed.empty()) refuse_method(out, std::move(allowed));
    return out;
  }
  out.status = 200;
  out.handler = &best->handler;
  out.pattern = best->pattern;
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const std::string_view want = best->segments[i];
    if (is_capture(want)) out.params.emplace(want.substr(1, want.size() - 2), segments[i]);
  }
  return out;
}

}  // namespace pn::http
