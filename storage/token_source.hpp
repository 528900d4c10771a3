#pragma once

#include "base/awaitable.hpp"
#include "base/secret.hpp"

#include <string>

namespace pn::storage {

/// The bearer token of a domain server: the task's, renewed by heartbeats, or a client's domain
/// grant. Thread: the loop of the DomainClient that uses it.
class TokenSource {
 public:
  virtual ~TokenSource() = default;
  /// The newest; asked for before each request.
  [[nodiscard]] virtual Secret<std::string> current() = 0;
  /// The server answered 401 to `used`. True when current() is another one now (waiting for it as
  /// long as makes sense), false when there is none to be had. `used` lives until the await ends.
  virtual Awaitable<bool> wait_newer(const Secret<std::string>& used) = 0;
};

}  // namespace pn::storage
