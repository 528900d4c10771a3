#include "bin/client_settings.hpp"

#include "base/result.hpp"
#include "base/rng.hpp"
#include "base/secret.hpp"
#include "base/system_rng.hpp"
#include "base/time.hpp"
#include "bin/environment.hpp"
#include "http/url.hpp"
#include "node/config_reader.hpp"

#include <charconv>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace pn::bin {
namespace {

class Reader {
 public:
  Reader(const Environment& environment, std::vector<std::string>& faults)
      : environment_(environment), faults_(faults) {}

  std::string required(const std::string& name, std::string_view what) {
    const std::optional<std::string> value = value_of(environment_, name);
    if (!value) {
      faults_.push_back(name + " is not set: it is " + std::string(what) +
                        " (an --env-file may hold it)");
    }
    return value.value_or("");
  }

  void url(const std::string& name, http::Url& into) {
    const std::optional<std::string> value = value_of(environment_, name);
    if (!value) return;
    Result<http::Url> parsed = http::Url::parse(*value);
    if (parsed) {
      into = *std::move(parsed);
    } else {
      // What stands before an @ is mostly a password.
      const bool secret = value->find('@') != std::string::npos;
      faults_.push_back(name + (secret ? "" : "=" + *value) + ": " + parsed.error().detail);
    }
  }

  bool flag(const std::string& name) {
    const std::string value = node::lower_case(value_of(environment_, name).value_or("false"));
    if (value == "true" || value == "1") return true;
    if (value != "false" && value != "0") {
      faults_.push_back(name + "=" + value + ": must be true or false");
    }
    return false;
  }

  void seconds(const std::string& name, Millis& into) {
    const std::optional<std::string> value = value_of(environment_, name);
    if (!value) return;
    int number = 0;
    const auto [end, failed] =
        std::from_chars(value->data(), value->data() + value->size(), number);
    if (failed == std::errc() && end == value->data() + value->size() && number >= 1 &&
        number <= 3600) {
      into = std::chrono::seconds(number);
    } else {
      faults_.push_back(name + "=" + *value + ": must be a whole number from 1 to 3600");
    }
  }

  void plain_allowed(const std::string& name, const http::Url& url, bool allowed) {
    if (allowed || url.scheme() == "https" || url.is_loopback()) return;
    faults_.push_back(name + "=" + url.str() +
                      ": must be https (or set ALLOW_PLAIN_HTTP=true on a private network)");
  }

 private:
  const Environment& environment_;
  std::vector<std::string>& faults_;
};

std::string proxy_of(const Environment& environment,
                     const std::string& upper,
                     const std::string& lower) {
  const std::optional<std::string> value = value_of(environment, lower);
  return value ? *value : value_of(environment, upper).value_or("");
}

}  // namespace

ParsedClientSettings parse_client_settings(const Environment& environment) {
  ParsedClientSettings out;
  ClientSettings& settings = out.settings;
  Reader read(environment, out.faults);
  read.url("DDS_BASE_URL", settings.dds_base_url);
  read.url("DMS_BASE_URL", settings.dms_base_url);
  settings.api_base_url = settings.dds_base_url;
  read.url("API_BASE_URL", settings.api_base_url);
  settings.app_key = read.required("APP_KEY", "the app's key");
  settings.app_secret = Secret<std::string>(read.required("APP_SECRET", "the app's secret"));
  settings.domain = DomainId(read.required("DOMAIN_ID", "the domain that is worked in"));
  read.seconds("REQUEST_TIMEOUT_SECS", settings.request_timeout);

  settings.http.user_agent = "posenode";
  settings.http.allow_plain_http = read.flag("ALLOW_PLAIN_HTTP");
  settings.http.extra_ca_file = value_of(environment, "EXTRA_CA_FILE").value_or("");
  settings.http.https_proxy = proxy_of(environment, "HTTPS_PROXY", "https_proxy");
  settings.http.http_proxy = proxy_of(environment, "HTTP_PROXY", "http_proxy");
  settings.http.no_proxy = proxy_of(environment, "NO_PROXY", "no_proxy");
  read.plain_allowed("DDS_BASE_URL", settings.dds_base_url, settings.http.allow_plain_http);
  read.plain_allowed("DMS_BASE_URL", settings.dms_base_url, settings.http.allow_plain_http);
  if (settings.api_base_url != settings.dds_base_url) {
    read.plain_allowed("API_BASE_URL", settings.api_base_url, settings.http.allow_plain_http);
  }

  const std::optional<std::string> client = value_of(environment, "CLIENT_ID");
  SystemRng rng;
  settings.client_id = client ? *client : "posenode-client/" + make_uuid(rng);
  return out;
}

}  // namespace pn::bin
