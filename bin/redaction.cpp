#include "bin/redaction.hpp"

#include "base/redactor.hpp"
#include "base/secret.hpp"
#include "bin/environment.hpp"
#include "node/config.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <string.h>
#include <unistd.h>

namespace pn::bin {
namespace {

constexpr std::array<std::string_view, 6> kSecrets{"REG_SECRET",
                                                   "SECP256K1_PRIVHEX",
                                                   "APP_SECRET",
                                                   "MARKET_BOOTSTRAP_REG_SECRET",
                                                   "MARKET_BOOTSTRAP_APP_SECRET",
                                                   "MARKET_BOOTSTRAP_USER_PASSWORD"};
constexpr std::array<std::string_view, 4> kProxies{
    "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"};

template <class Names>
bool among(const Names& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

std::span<const std::string_view> secret_settings() { return kSecrets; }

const std::shared_ptr<Redactor>& redactor() {
  static const auto one = std::make_shared<Redactor>();
  return one;
}

void remember_secrets(const Environment& environment) {
  for (const std::string_view name : kSecrets) {
    const std::optional<std::string> value = value_of(environment, std::string(name));
    if (value) redactor()->keep(Secret<std::string>(*value));
  }
  for (const std::string_view name : kProxies) {
    const std::optional<std::string> value = value_of(environment, std::string(name));
    if (value) redactor()->keep_password_of(Secret<std::string>(*value));
  }
}

void remember_secrets(const node::Config& config) {
  redactor()->keep(config.reg_secret);
  redactor()->keep(config.private_key);
}

void scrub_process_environment() {
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    char* const equals = std::strchr(*entry, '=');
    if (equals == nullptr) continue;
    const std::string_view name(*entry, static_cast<std::size_t>(equals - *entry));
    if (among(kSecrets, name) || among(kProxies, name)) {
      ::explicit_bzero(equals + 1, std::strlen(equals + 1));
    }
  }
}

}  // namespace pn::bin
