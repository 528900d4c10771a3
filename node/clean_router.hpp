#pragma once

#include "base/log.hpp"
#include "http/server.hpp"
#include "http/types.hpp"

#include <string_view>
#include <utility>

namespace pn::node {

/// The routes of a server by which a node tells of itself. What its errors say may quote a server,
/// and that one may echo a token: so every answer passes the logger's redactor, whatever it was
/// made of. JSON value by value, other text as it stands; the page (HTML) is static, and its
/// policy's digest allows no change.
class CleanRouter final {
 public:
  explicit CleanRouter(log::Logger logger);

  void add(http::Method method, std::string_view pattern, http::Handler handler);
  [[nodiscard]] http::Router take() && { return std::move(router_); }

 private:
  log::Logger logger_;
  http::Router router_;
};

}  // namespace pn::node
