#include "market/bootstrap.hpp"

#include "base/clock.hpp"
#include "base/file.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "base/secret.hpp"
#include "market/database.hpp"
#include "market/identity_store.hpp"
#include "market/secrets.hpp"
#include "market/settings.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>

#include <soci/soci.h>

namespace pn::market {
namespace {

constexpr std::uint64_t kEnvFileLimit = 1024 * 1024;

std::string made_up_secret(Rng& rng) { return random_hex(rng, 24); }

/// One start's work on the first credentials, inside one write.
class Setup {
 public:
  Setup(soci::session& session,
        const Clock& clock,
        Rng& rng,
        const BootstrapSettings& settings,
        const std::string& public_url)
      : session_(session),
        now_(clock.system_now()),
        rng_(rng),
        settings_(settings),
        public_url_(public_url) {}

  Bootstrapped run() {
    organization();
    registration_secret();
    app();
    user();
    domain_server();
    domain();
    return std::move(out_);
  }

 private:
  /// The name kept under `kind`; makes it with `make` the first time.
  template <class Make>
  std::string kept(const std::string& kind, Make make) {
    if (const auto row = find_bootstrap(session_, kind)) return row->name;
    const std::string made = make();
    put_bootstrap(session_, kind, BootstrapRow{.name = made, .hash = ""});
    return made;
  }

  void organization() {
    out_.organization = OrganizationId(kept("organization", [&] {
      const std::string id = make_uuid(rng_);
      put_organization(session_, OrganizationId(id), "main", now_);
      return id;
    }));
  }

  void registration_secret() {
    const auto known = find_bootstrap(session_, "registration");
    out_.registration_secret = settings_.registration_secret;
    if (!settings_.registration_secret) {
      if (known) return;
      out_.registration_secret = Secret<std::string>(made_up_secret(rng_));
      out_.made_up_registration_secret = true;
    }
    if (known && matches_hash(*out_.registration_secret, known->hash)) return;
    if (known) out_.changed.emplace_back("the registration secret");
    put_bootstrap(session_,
                  "registration",
                  BootstrapRow{.name = "", .hash = hash_key(rng_, *out_.registration_secret)});
  }

  void app() {
    const auto known = find_bootstrap(session_, "app");
    out_.app_key = settings_.app_key.value_or(known ? known->name : "app-" + random_hex(rng_, 8));
    out_.app_secret = settings_.app_secret;
    if (known && known->name != out_.app_key) {
      // The first app has another key now; its old key must not go on opening the door.
      out_.changed.emplace_back("the app key");
      remove_app(session_, known->name);
    }
    const auto row = find_app(session_, out_.app_key);
    if (!out_.app_secret && !row) {
      out_.app_secret = Secret<std::string>(made_up_secret(rng_));
      out_.made_up_app_secret = true;
    }
    put_bootstrap(session_, "app", BootstrapRow{.name = out_.app_key, .hash = ""});
    if (!out_.app_secret || (row && matches_hash(*out_.app_secret, row->secret_hash))) return;
    if (row) out_.changed.emplace_back("the app secret");
    put_app(session_,
            AppRow{.app_key = out_.app_key,
                   .secret_hash = hash_key(rng_, *out_.app_secret),
                   .organization = out_.organization},
            now_);
  }

  void user() {
    const std::string id = kept("user", [&] { return make_uuid(rng_); });
    const auto row = find_user(session_, id);
    out_.user_email = settings_.user_email.value_or(row ? row->email : "admin@localhost");
    out_.user_password = settings_.user_password;
    if (!out_.user_password && !row) {
      out_.user_password = Secret<std::string>(made_up_secret(rng_));
      out_.made_up_user_password = true;
    }
    const bool new_email = row && row->email != out_.user_email;
    const bool new_password =
        row && out_.user_password && !matches_hash(*out_.user_password, row->password_hash);
    if (new_email) out_.changed.emplace_back("the user's email");
    if (new_password) out_.changed.emplace_back("the user's password");
    if (row && !new_email && !new_password) return;
    const std::string hash =
        row && !new_password ? row->password_hash : hash_password(rng_, *out_.user_password);
    put_user(session_,
             UserRow{.id = id,
                     .email = out_.user_email,
                     .password_hash = hash,
                     .organization = out_.organization},
             now_);
  }

  void domain_server() {
    out_.domain_server_id = kept("domain_server", [&] { return make_uuid(rng_); });
    const auto row = find_domain_server(session_, out_.domain_server_id);
    if (row && row->url == public_url_) return;
    if (row) out_.changed.emplace_back("the public URL");
    put_domain_server(session_,
                      DomainServerRow{.id = out_.domain_server_id,
                                      .organization = out_.organization,
                                      .name = "main",
                                      .url = public_url_});
  }

  void domain() {
    out_.domain = DomainId(kept("domain", [&] { return make_uuid(rng_); }));
    const auto row = find_domain(session_, out_.domain);
    out_.domain_name = settings_.domain.value_or(row ? row->name : "main");
    if (row) {
      if (row->name == out_.domain_name) return;
      out_.changed.emplace_back("the domain's name");
      rename_domain(session_, out_.domain, out_.domain_name);
      return;
    }
    DomainRow made;
    made.id = out_.domain;
    made.name = out_.domain_name;
    made.organization = out_.organization;
    made.domain_server_id = out_.domain_server_id;
    add_domain(session_, made, now_);
  }

  soci::session& session_;
  const SystemTime now_;
  Rng& rng_;
  const BootstrapSettings& settings_;
  const std::string& public_url_;
  Bootstrapped out_;
};

}  // namespace

Result<Bootstrapped> bootstrap(Database& database,
                               const Clock& clock,
                               Rng& rng,
                               const BootstrapSettings& settings,
                               const std::string& public_url) {
  return database.write_now<Bootstrapped>([&](soci::session& session) -> Result<Bootstrapped> {
    Setup setup(session, clock, rng, settings, public_url);
    return setup.run();
  });
}

Result<void> write_env(const std::filesystem::path& file,
                       const Bootstrapped& first,
                       const std::string& public_url) {
  std::map<std::string, std::string> values{{"DDS_BASE_URL", public_url},
                                            {"DMS_BASE_URL", public_url + "/v1"},
                                            {"API_BASE_URL", public_url},
                                            {"APP_KEY", first.app_key},
                                            {"DOMAIN_ID", first.domain.str()}};
  if (first.registration_secret) values["REG_SECRET"] = first.registration_secret->reveal();
  if (first.app_secret) values["APP_SECRET"] = first.app_secret->reveal();

  std::string out;
  Result<std::string> old = read_file(file, kEnvFileLimit);
  if (!old.ok() && old.error().kind != ErrorKind::not_found) return std::move(old).error();
  const std::string text = std::move(old).value_or("");
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, end - at);
    at = end + 1;
    const auto value = values.find(line.substr(0, line.find('=')));
    if (value == values.end() || line.find('=') == std::string::npos) {
      out += line + "\n";
      continue;
    }
    out += value->first + "=" + value->second + "\n";
    values.erase(value);
  }
  for (const auto& [key, value] : values) out += key + "=" + value + "\n";
  return write_file(file, out, 0600);
}

}  // namespace pn::market
