#pragma once

#include "auth/wallet.hpp"
#include "base/result.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pn::auth {

/// What DDS answers to siwe/request (wire.md). All six are certain.
struct SiweChallenge {
  std::string nonce;
  std::string domain;
  std::string uri;
  std::string version;
  std::int64_t chain_id = 0;
  std::string issued_at;  ///< kept as it came: it is signed

  friend bool operator==(const SiweChallenge&, const SiweChallenge&) = default;
};

/// The EIP-4361 text to sign: "\n" line ends, none at the end.
std::string siwe_message(const SiweChallenge& challenge,
                         const EthAddress& address,
                         const std::vector<std::string>& resources = {});

struct ParsedSiwe {
  SiweChallenge challenge;
  EthAddress address;
};
/// The reverse, for the service that verifies. Kind `rejected` for anything that is not of that
/// form.
Result<ParsedSiwe> parse_siwe_message(std::string_view message);

}  // namespace pn::auth
