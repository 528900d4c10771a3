#pragma once

#include "base/clock.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "base/secret.hpp"
#include "market/settings.hpp"
#include "market/tokens.hpp"

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace pn::market {

/// The market's first credentials, as far as this start knows them: a secret that was made up by an
/// earlier start exists only as a hash and is absent here.
struct Bootstrapped {
  OrganizationId organization;
  std::optional<Secret<std::string>> registration_secret;
  std::string app_key;
  std::optional<Secret<std::string>> app_secret;
  std::string user_email;
  std::optional<Secret<std::string>> user_password;
  DomainId domain;
  std::string domain_name;
  std::string domain_server_id;

  /// Secrets that this start made up: print them now, nobody knows them later.
  bool made_up_registration_secret = false;
  bool made_up_app_secret = false;
  bool made_up_user_password = false;

  /// What this start changed of an earlier one's: "the app secret", ... For a line each.
  std::vector<std::string> changed;
};

/// Makes or changes the first organization, app, user, domain and domain server as `settings` say.
/// Blocks; before a loop runs.
Result<Bootstrapped> bootstrap(Database& database,
                               const Clock& clock,
                               Rng& rng,
                               const BootstrapSettings& settings,
                               const std::string& public_url);

/// Writes what a node and the client commands need (`--env-file`), mode 0600: DDS_BASE_URL,
/// DMS_BASE_URL, API_BASE_URL, REG_SECRET, APP_KEY, APP_SECRET, DOMAIN_ID. Other lines of the file,
/// and secrets that this start does not know, stay as the file has them. Blocks.
Result<void> write_env(const std::filesystem::path& file,
                       const Bootstrapped& first,
                       const std::string& public_url);

}  // namespace pn::market
