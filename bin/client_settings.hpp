#pragma once

#include "base/ids.hpp"
#include "base/secret.hpp"
#include "base/time.hpp"
#include "bin/environment.hpp"
#include "http/client.hpp"
#include "http/url.hpp"

#include <string>
#include <vector>

namespace pn::bin {

/// What the client commands (job, data) need, from the environment.
struct ClientSettings {
  http::Url dds_base_url = http::Url::parse("https://dds.auki.network").value();
  http::Url dms_base_url = http::Url::parse("https://dms.auki.network/v1").value();
  http::Url api_base_url = http::Url::parse("https://dds.auki.network").value();
  std::string app_key;
  Secret<std::string> app_secret;
  DomainId domain;
  std::string client_id;
  Millis request_timeout{60'000};
  http::ClientOptions http;
};

struct ParsedClientSettings {
  ClientSettings settings;          ///< to be used only when `faults` is empty
  std::vector<std::string> faults;  ///< every one there is
};
ParsedClientSettings parse_client_settings(const Environment& environment);

}  // namespace pn::bin
