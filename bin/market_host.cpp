#include "bin/market_host.hpp"

#include "base/file.hpp"
#include "base/result.hpp"
#include "market/bootstrap.hpp"

#include <filesystem>
#include <string>
#include <string_view>

namespace pn::bin {

std::string first_credentials_text(const market::Bootstrapped& first) {
  std::string out;
  const auto line = [&](bool made_up, std::string_view name, const auto& secret) {
    if (made_up && secret) out += "  " + std::string(name) + "  " + secret->reveal() + "\n";
  };
  line(first.made_up_registration_secret, "REG_SECRET    ", first.registration_secret);
  line(first.made_up_app_secret, "APP_SECRET    ", first.app_secret);
  line(first.made_up_user_password, "user password ", first.user_password);
  if (!out.empty()) out = "Made up now and shown this once:\n" + out;
  for (const std::string& what : first.changed) out += "Changed: " + what + "\n";
  return out;
}

Result<void> write_client_env(const std::filesystem::path& file,
                              const market::Bootstrapped& first,
                              const std::string& public_url) {
  if (file.has_parent_path()) {
    const Result<void> folder = make_folders(file.parent_path(), 0700);
    if (!folder.ok()) return within("--write-env", folder.error());
  }
  const Result<void> written = market::write_env(file, first, public_url);
  if (!written.ok()) return within("--write-env", written.error());
  return {};
}

}  // namespace pn::bin
