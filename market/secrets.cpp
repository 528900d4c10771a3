#include "market/secrets.hpp"

#include "base/digest.hpp"
#include "base/encoding.hpp"
#include "base/rng.hpp"
#include "base/secret.hpp"

#include <array>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#include <openssl/crypto.h>
#include <openssl/evp.h>

namespace pn::market {
namespace {

std::string key_hash(const std::string& salt, const std::string& key) {
  return "sha256$" + salt + "$" + sha256_hex(salt + key);
}

std::string password_hash(const std::string& salt, const std::string& password) {
  constexpr std::uint64_t kCost = 16'384;  // N; with r = 8 that is 16 MiB
  constexpr std::uint64_t kMemory = std::uint64_t{32} * 1024 * 1024;
  std::array<unsigned char, 32> out{};
  const int done = EVP_PBE_scrypt(password.data(),
                                  password.size(),
                                  reinterpret_cast<const unsigned char*>(salt.data()),
                                  salt.size(),
                                  kCost,
                                  8,
                                  1,
                                  kMemory,
                                  out.data(),
                                  out.size());
  if (done != 1) throw std::runtime_error("OpenSSL offers no scrypt");
  return "scrypt$" + salt + "$" + to_hex(out);
}

}  // namespace

std::string hash_key(Rng& rng, const Secret<std::string>& key) {
  return key_hash(random_hex(rng, 16), key.reveal());
}

std::string hash_password(Rng& rng, const Secret<std::string>& password) {
  return password_hash(random_hex(rng, 16), password.reveal());
}

bool matches_hash(const Secret<std::string>& given, std::string_view stored) {
  const auto first = stored.find('$');
  const auto second = stored.find('$', first + 1);
  if (first == std::string_view::npos || second == std::string_view::npos) return false;
  const std::string_view scheme = stored.substr(0, first);
  const std::string salt(stored.substr(first + 1, second - first - 1));
  std::string expected;
  if (scheme == "sha256") {
    expected = key_hash(salt, given.reveal());
  } else if (scheme == "scrypt") {
    expected = password_hash(salt, given.reveal());
  } else {
    return false;
  }
  return expected.size() == stored.size() &&
         CRYPTO_memcmp(expected.data(), stored.data(), stored.size()) == 0;
}

}  // namespace pn::market
