#pragma once

#include <string_view>

/// The known answers of the wire description of DDS.
namespace pn::testing {

inline constexpr std::string_view kKnownKey =
    "4c0883a69102937d6231471b5dbb6204fe5129617082798ce3f4fdf2548b6f90";
inline constexpr std::string_view kKnownAddress = "0xfdbb6caf01414300c16ea14859fec7736d95355f";
inline constexpr std::string_view kKnownMessage =
    "example.com wants you to sign in with your Ethereum account:\n"
    "0xfdbb6caf01414300c16ea14859fec7736d95355f\n"
    "\n"
    "URI: https://example.com\n"
    "Version: 1\n"
    "Chain ID: 1\n"
    "Nonce: abc123\n"
    "Issued At: 2024-05-01T00:00:00Z";
inline constexpr std::string_view kKnownSignature =
    "0x390786f1c4840ec337aef7c4a6d15bba128cc308e2f32f4528e2f8dd44f61f35"
    "4a68a45bcf7d39eb724346a02f6eefebd8a39e20ebf68435bfe026ed47b1e5171b";

}  // namespace pn::testing
