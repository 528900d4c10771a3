#pragma once

#include "base/rng.hpp"
#include "base/secret.hpp"

#include <string>
#include <string_view>

namespace pn::market {

// How secrets are stored: never as they are.

/// For keys that cannot be guessed (made up, or chosen by a host as keys are): "sha256$salt$hash".
std::string hash_key(Rng& rng, const Secret<std::string>& key);

/// For what people choose: scrypt (RFC 7914), "scrypt$salt$hash". Takes 16 MiB and some 50 ms:
/// not on a loop.
std::string hash_password(Rng& rng, const Secret<std::string>& password);

/// Either form; in constant time for equal forms. False for a stored text that is none.
bool matches_hash(const Secret<std::string>& given, std::string_view stored);

}  // namespace pn::market
