#pragma once

#include "base/rng.hpp"
#include "base/secret.hpp"

#include <string>

namespace pn::bin {

struct NewKey {
  Secret<std::string> hex;  ///< SECP256K1_PRIVHEX
  std::string address;
};
NewKey make_key(Rng& rng);

}  // namespace pn::bin
