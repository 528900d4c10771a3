#include "http/proxy.hpp"

#include "base/result.hpp"
#include "http/client.hpp"
#include "http/url.hpp"

#include <optional>
#include <string>
#include <string_view>

#include <catch2/catch.hpp>
#include <curl/curl.h>

namespace pn::http {
namespace {

Url url(std::string_view text) { return *Url::parse(text); }

}  // namespace

TEST_CASE("no_proxy: names, suffixes, addresses, networks and ports", "[http][proxy]") {
  const auto [list, at, named] = GENERATE(table<const char*, const char*, bool>({
      {"", "https://a.example", false},
      {"*", "https://a.example", true},
      {"x, *", "https://a.example", true},
      {"a.example", "https://a.example", true},
      {"A.Example", "https://a.EXAMPLE", true},
      {"a.example.", "https://a.example", true},
      {"a.example", "https://a.example.", true},
      {"example", "https://a.example", true},
      {".example", "https://a.example", true},
      {"*.example", "https://a.example", true},
      {".a.example", "https://a.example", true},
      {"b.a.example", "https://a.example", false},
      {"example", "https://counterexample", false},
      {".", "https://a.example", false},
      {"*.", "https://a.example", false},
      {"b.example,a.example", "https://a.example", true},
      {" b.example\t a.example ", "https://a.example", true},
      {",,a.example,", "https://a.example", true},
      {"a.example:443", "https://a.example", true},
      {"a.example:8443", "https://a.example", false},
      {"a.example:8443", "https://b.a.example:8443", true},
      {"a.example:", "https://a.example", false},
      {"a.example:99999", "https://a.example", false},
      {"https://a.example", "https://a.example", false},
      {"192.0.2.7", "http://192.0.2.7", true},
      {"192.0.2.7", "http://192.0.2.70", false},
      {"2.7", "http://192.0.2.7", false},
      {"192.0.2.7:80", "http://192.0.2.7", true},
      {"192.0.2.7:81", "http://192.0.2.7", false},
      {"192.0.2.0/24", "http://192.0.2.255", true},
      {"192.0.2.9/24", "http://192.0.2.255", true},
      {"192.0.2.0/24", "http://192.0.3.1", false},
      {"192.0.2.128/25", "http://192.0.2.127", false},
      {"192.0.2.128/25", "http://192.0.2.129", true},
      {"192.0.2.7/32", "http://192.0.2.7", true},
      {"192.0.2.7/31", "http://192.0.2.6", true},
      {"0.0.0.0/0", "http://192.0.2.6", true},
      {"192.0.2.0/33", "http://192.0.2.6", false},
      {"192.0.2.0/", "http://192.0.2.6", false},
      {"192.0.2.0/-1", "http://192.0.2.6", false},
      {"192.0.2.0/24", "http://host.example", false},
      {"host/24", "http://host", false},
      {"2001:db8::7", "http://[2001:db8::7]", true},
      {"2001:DB8:0::7", "http://[2001:db8::7]", true},
      {"[2001:db8::7]", "http://[2001:db8:0:0::7]", true},
      {"[2001:db8::7]:80", "http://[2001:db8::7]", true},
      {"[2001:db8::7]:81", "http://[2001:db8::7]", false},
      {"[2001:db8::7", "http://[2001:db8::7]", false},
      {"2001:db8::/32", "http://[2001:db8:ffff::1]", true},
      {"2001:db8::/33", "http://[2001:db8:ffff::1]", false},
      {"2001:db8::/129", "http://[2001:db8::1]", false},
      {"::/0", "http://192.0.2.6", false},
      {"::/0", "http://[2001:db8::1]", true},
  }));
  INFO("'" << list << "' and " << at);
  CHECK(no_proxy_names(list, url(at)) == named);
}

TEST_CASE("proxy: chosen by scheme, never to this machine", "[http][proxy]") {
  ClientOptions options;
  options.https_proxy = "http://s:1";
  options.http_proxy = "http://p:2";
  options.no_proxy = "inside.example";
  CHECK(proxy_for(options, url("https://dds.example")) == "http://s:1");
  CHECK(proxy_for(options, url("http://domain.example")) == "http://p:2");
  for (const char* direct : {"https://inside.example",
                             "http://a.inside.example",
                             "http://127.0.0.1:9464",
                             "http://127.9.9.9",
                             "https://[::1]",
                             "http://localhost",
                             "http://x.localhost"}) {
    INFO(direct);
    CHECK(proxy_for(options, url(direct)).empty());
  }
  options.https_proxy.clear();
  CHECK(proxy_for(options, url("https://dds.example")).empty());
  options.unix_socket = "/run/x";
  CHECK(proxy_for(options, url("http://domain.example")).empty());
}

TEST_CASE("proxy: its address is read as libcurl does", "[http][proxy]") {
  CHECK(proxy_address("http://me:pass%40word@p.example:3128/") ==
        ProxyAddress{"p.example", "3128"});
  CHECK(proxy_address("p:8080") == ProxyAddress{"p", "8080"});
  CHECK(proxy_address("socks5h://[::1]:9") == ProxyAddress{"::1", "9"});
  CHECK(proxy_address("http://p") == ProxyAddress{"p", "1080"});
  CHECK(proxy_address("https://p") == ProxyAddress{"p", "443"});
}

TEST_CASE("from_proxy: what is the proxy's doing, and what to do", "[http][proxy]") {
  struct Row {
    ProxyOutcome outcome;
    const char* proxy;
    const char* code;  ///< null: not the proxy's
    const char* says;
  };
  const char* const plain = "http://me:hidden@p.example:3128";
  const char* const secure = "https://me:hidden@p.example";
  const auto row = GENERATE_COPY(values<Row>({
      {{CURLE_OK, 200, 200}, plain, nullptr, ""},
      {{CURLE_OK, 0, 502}, plain, nullptr, ""},
      {{CURLE_OK, 0, 407}, plain, "proxy_auth", "percent-encoded"},
      {{CURLE_RECV_ERROR, 407, 0}, plain, "proxy_auth", "p.example:3128"},
      {{CURLE_COULDNT_CONNECT, 407, 0}, plain, "proxy_auth", "HTTPS_PROXY"},
      {{CURLE_RECV_ERROR, 403, 0}, plain, "proxy_refused", "answered 403"},
      {{CURLE_COULDNT_CONNECT, 0, 0}, plain, "proxy_connect", "see that it runs"},
      {{CURLE_PEER_FAILED_VERIFICATION, 200, 0}, plain, nullptr, ""},
      {{CURLE_PEER_FAILED_VERIFICATION, 0, 0}, plain, nullptr, ""},
      {{CURLE_PEER_FAILED_VERIFICATION, 200, 0}, secure, nullptr, ""},
      {{CURLE_PEER_FAILED_VERIFICATION, 0, 0}, secure, "proxy_certificate", "EXTRA_CA_FILE"},
      {{CURLE_SSL_CONNECT_ERROR, 0, 0}, secure, "proxy_tls", "write http:// into HTTPS_PROXY"},
      {{CURLE_OPERATION_TIMEDOUT, 0, 0}, plain, nullptr, ""},
  }));
  const std::optional<Error> error =
      from_proxy(row.proxy, url("https://dds.example"), row.outcome, "GET x", "said");
  INFO(row.outcome.curl_code << " " << row.outcome.tunnel_status << " by " << row.proxy);
  REQUIRE(error.has_value() == (row.code != nullptr));
  if (!error) return;
  CHECK(error->kind == ErrorKind::retry);
  CHECK(error->code == row.code);
  CHECK_THAT(error->detail, Catch::Contains(row.says));
  CHECK_THAT(error->detail, !Catch::Contains("hidden") && !Catch::Contains("me:"));
}

}  // namespace pn::http
