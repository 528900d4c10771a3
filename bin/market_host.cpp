#include "bin/market_host.hpp"

#include "base/file.hpp"
#include "base/result.hpp"
#include "market/bootstrap.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace pn::bin {
namespace {

constexpr std::uint64_t kEnvFileLimit = 1024 * 1024;
constexpr std::array<std::string_view, 2> kSecrets{"REG_SECRET", "APP_SECRET"};

/// Whether a line sets it to something.
bool sets(std::string_view text, std::string_view name) {
  const std::string wanted = "\n" + std::string(name) + "=";
  const std::string lines = "\n" + std::string(text) + "\n";
  const std::size_t at = lines.find(wanted);
  return at != std::string::npos && lines[at + wanted.size()] != '\n';
}

}  // namespace

std::string first_credentials_text(const market::Bootstrapped& first, const HeldSecrets& held) {
  std::string out;
  const auto line = [&](bool made_up, std::string_view name, const auto& secret) {
    if (!made_up || !secret || held.contains(std::string(name))) return;
    std::string title(name);
    title.resize(14, ' ');
    out += "  " + title + "  " + secret->reveal() + "\n";
  };
  line(first.made_up_registration_secret, "REG_SECRET", first.registration_secret);
  line(first.made_up_app_secret, "APP_SECRET", first.app_secret);
  line(first.made_up_user_password, "user password", first.user_password);
  if (!out.empty()) out = "Made up now and shown this once:\n" + out;
  for (const std::string& what : first.changed) out += "Changed: " + what + "\n";
  return out;
}

Result<HeldSecrets> write_client_env(const std::filesystem::path& file,
                                     const market::Bootstrapped& first,
                                     const std::string& public_url) {
  if (file.has_parent_path()) {
    const Result<void> folder = make_folders(file.parent_path(), 0700);
    if (!folder.ok()) return within("--write-env", folder.error());
  }
  const Result<void> written = market::write_env(file, first, public_url);
  if (!written.ok()) return within("--write-env", written.error());
  const Result<std::string> text = read_file(file, kEnvFileLimit);
  if (!text) return within("--write-env", text.error());
  HeldSecrets held;
  for (const std::string_view name : kSecrets) {
    if (sets(*text, name)) held.emplace(name);
  }
  return held;
}

std::vector<std::string> lost_secrets(const std::filesystem::path& file, const HeldSecrets& held) {
  std::vector<std::string> out;
  for (const std::string_view name : kSecrets) {
    if (held.contains(std::string(name))) continue;
    out.push_back("--write-env " + file.string() + " has no " + std::string(name) +
                  ": an earlier start made it up and only its hash is kept; set "
                  "MARKET_BOOTSTRAP_" +
                  std::string(name) + " to have another");
  }
  return out;
}

}  // namespace pn::bin
