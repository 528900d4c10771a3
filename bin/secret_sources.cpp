#include "bin/secret_sources.hpp"

#include "bin/commands.hpp"
#include "node/config.hpp"
#include "node/config_reader.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

namespace pn::bin {

std::vector<std::string> secret_sources(const Invocation& invocation,
                                        const node::ParsedConfig& parsed) {
  std::vector<std::string> out;
  for (const node::SecretOrigin& secret : parsed.secrets) {
    std::string where = secret.where;
    if (secret.where == secret.name) {
      where = invocation.from_file.contains(secret.name) ? invocation.env_file.string()
                                                         : "the environment";
    }
    out.push_back(secret.name + " from " + where);
  }
  return out;
}

std::vector<std::string> secret_doubts(const Invocation& invocation,
                                       const node::ParsedConfig& parsed) {
  std::vector<std::string> out = parsed.doubts;
  constexpr std::array kSecrets{"REG_SECRET", "SECP256K1_PRIVHEX", "APP_SECRET"};
  const bool holds = std::any_of(kSecrets.begin(), kSecrets.end(), [&](const char* name) {
    return invocation.from_file.contains(name);
  });
  if (!holds) return out;
  const std::string open = node::too_open(invocation.env_file);
  if (!open.empty()) out.push_back(invocation.env_file.string() + " holds secrets: " + open);
  return out;
}

}  // namespace pn::bin
