// The limit that the node's task rate is held against: the same four requests a noop task costs
// (claim, first heartbeat, heartbeat with the last progress, complete), made by bare libcurl on one
// kept connection, with nothing between them.
//
//   REG_SECRET=.. SECP256K1_PRIVHEX=.. DDS_BASE_URL=.. DMS_BASE_URL=.. curl_limit
//
// Registers, signs in, then takes tasks until there are none. Prints one JSON line.

#include "auth/siwe.hpp"
#include "auth/wallet.hpp"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include <curl/curl.h>
#include <nlohmann/json.hpp>

namespace {

using Json = nlohmann::json;

std::string need(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr) throw std::runtime_error(std::string(name) + " is not set");
  return value;
}

struct Answer {
  long status = 0;
  std::string body;
};

class Connection {
 public:
  Connection() : easy_(curl_easy_init()) {
    curl_easy_setopt(easy_, CURLOPT_WRITEFUNCTION, &Connection::keep);
    curl_easy_setopt(easy_, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(easy_, CURLOPT_NOPROXY, "*");
  }
  ~Connection() {
    curl_slist_free_all(headers_);
    curl_easy_cleanup(easy_);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void bearer(const std::string& token) {
    curl_slist_free_all(headers_);
    headers_ = curl_slist_append(nullptr, "Content-Type: application/json");
    if (!token.empty())
      headers_ = curl_slist_append(headers_, ("Authorization: Bearer " + token).c_str());
    curl_easy_setopt(easy_, CURLOPT_HTTPHEADER, headers_);
  }

  Answer get(const std::string& url) {
    curl_easy_setopt(easy_, CURLOPT_HTTPGET, 1L);
    return perform(url);
  }

  Answer post(const std::string& url, const std::string& body) {
    curl_easy_setopt(easy_, CURLOPT_POST, 1L);
    curl_easy_setopt(easy_, CURLOPT_POSTFIELDS, body.data());
    curl_easy_setopt(easy_, CURLOPT_POSTFIELDSIZE, static_cast<long>(body.size()));
    return perform(url);
  }

 private:
  static std::size_t keep(char* bytes, std::size_t, std::size_t count, void* out) {
    static_cast<std::string*>(out)->append(bytes, count);
    return count;
  }

  Answer perform(const std::string& url) {
    Answer answer;
    curl_easy_setopt(easy_, CURLOPT_URL, url.c_str());
    curl_easy_setopt(easy_, CURLOPT_WRITEDATA, &answer.body);
    const CURLcode code = curl_easy_perform(easy_);
    if (code != CURLE_OK) throw std::runtime_error(url + ": " + curl_easy_strerror(code));
    curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &answer.status);
    return answer;
  }

  CURL* easy_;
  curl_slist* headers_ = nullptr;
};

struct Signed {
  std::string message;
  std::string signature;
};

Signed sign_in(Connection& http, const std::string& dds, const pn::auth::Wallet& wallet) {
  const Answer answer = http.post(dds + "/internal/v1/auth/siwe/request",
                                  Json{{"wallet", wallet.address().str()}}.dump());
  const Json json = Json::parse(answer.body);
  const pn::auth::SiweChallenge challenge{json.at("nonce"),
                                          json.at("domain"),
                                          json.at("uri"),
                                          json.at("version"),
                                          json.at("chainId"),
                                          json.at("issuedAt")};
  Signed out;
  out.message = pn::auth::siwe_message(challenge, wallet.address());
  out.signature = wallet.sign_personal(out.message);
  return out;
}

int run() {
  const std::string dds = need("DDS_BASE_URL");
  const std::string dms = need("DMS_BASE_URL");
  const auto wallet =
      pn::auth::Wallet::from_hex(pn::Secret<std::string>(need("SECP256K1_PRIVHEX")));
  if (!wallet) throw std::runtime_error(pn::to_string(wallet.error()));

  Connection http;
  http.bearer("");
  const Signed registration = sign_in(http, dds, *wallet);
  const Answer registered = http.post(dds + "/internal/v1/nodes/register-wallet",
                                      Json{{"message", registration.message},
                                           {"signature", registration.signature},
                                           {"registration_credentials", need("REG_SECRET")},
                                           {"capabilities", {"/noop/v1"}},
                                           {"version", "1.0.0"}}
                                          .dump());
  if (registered.status / 100 != 2) throw std::runtime_error("registration: " + registered.body);
  const Signed login = sign_in(http, dds, *wallet);
  const Answer verified = http.post(dds + "/internal/v1/auth/siwe/verify",
                                    Json{{"address", wallet->address().str()},
                                         {"message", login.message},
                                         {"signature", login.signature}}
                                        .dump());
  http.bearer(Json::parse(verified.body).at("access_token"));

  std::size_t tasks = 0;
  const auto start = std::chrono::steady_clock::now();
  for (;;) {
    const Answer claimed = http.get(dms + "/tasks");
    if (claimed.status == 204) break;
    if (claimed.status != 200) throw std::runtime_error("claim: " + claimed.body);
    const Json lease = Json::parse(claimed.body);
    const std::string task = dms + "/tasks/" + lease.at("task").at("id").get<std::string>();
    Json beat{{"progress", Json::object()}, {"events", Json::array()}};
    const Json done{{"stage", "done"}, {"pct", 100}};
    Json receipt{{"output_cids", Json::array()}, {"meta", Json::object()}};
    if (lease.contains("lease_id")) beat["lease_id"] = receipt["lease_id"] = lease["lease_id"];
    for (const Json& progress : {Json::object(), done}) {
      beat["progress"] = progress;
      if (http.post(task + "/heartbeat", beat.dump()).status != 200)
        throw std::runtime_error("heartbeat refused");
    }
    if (http.post(task + "/complete", receipt.dump()).status / 100 != 2)
      throw std::runtime_error("receipt refused");
    ++tasks;
  }
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::printf(
      "{\"client\":\"bare libcurl\",\"tasks\":%zu,\"seconds\":%.3f,\"tasks_per_second\":%.1f}\n",
      tasks,
      seconds,
      static_cast<double>(tasks) / seconds);
  return tasks == 0 ? 1 : 0;
}

}  // namespace

int main() {
  try {
    return run();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "curl_limit: %s\n", e.what());
    return 1;
  }
}
