#pragma once

#include "base/awaitable.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"

#include <string>

namespace pn::auth {

using AccessToken = Secret<std::string>;

/// Where a caller of DMS gets its bearer token. Implemented by NodeSession (the node) and by fakes.
class AccessTokenSource {
 public:
  virtual ~AccessTokenSource() = default;
  /// A token that is good now; signs in first where there is none. Single flight: many callers, one
  /// login.
  virtual Awaitable<Result<AccessToken>> token() = 0;
  /// The service answered 401 to `used`: the next token() signs in again. A newer token is left
  /// alone.
  virtual void reject(const AccessToken& used) = 0;
};

}  // namespace pn::auth
