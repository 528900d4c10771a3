#include "bin/doctor_report.hpp"

#include "base/file.hpp"
#include "base/result.hpp"
#include "bin/doctor.hpp"
#include "bin/terminal.hpp"
#include "http/client.hpp"
#include "http/url.hpp"

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

namespace pn::bin::doctor {
namespace {

Finding failed(Blame blame) { return failure("disk", blame, "tried", "got", {"do this"}); }

http::Url url(const char* text) { return *http::Url::parse(text); }

}  // namespace

TEST_CASE("doctor: of several failures the one to be mended first decides", "[bin][doctor]") {
  Report report;
  CHECK(report.exit_code() == 0);
  report.add(doubt("clock", "t", "g", "r"));
  CHECK(report.exit_code() == 0);
  report.add(failed(Blame::temporary));
  CHECK(report.exit_code() == 75);
  report.add(failed(Blame::sign_in));
  CHECK(report.exit_code() == 3);
  report.add(failed(Blame::configuration));
  CHECK(report.exit_code() == 2);
}

TEST_CASE("doctor: every check is reported, in the page's order", "[bin][doctor]") {
  Report report;
  report.add(fine("storage", "a", "b"));
  report.add(failed(Blame::temporary));
  const nlohmann::json json = nlohmann::json::parse(report.json());
  REQUIRE(json["checks"].size() == checks().size());
  CHECK(json["checks"].front()["verdict"] == "skipped");  // never reported
  CHECK(json["checks"].back()["verdict"] == "ok");
  CHECK(json["ok"] == false);

  const std::filesystem::path file =
      std::filesystem::path(POSENODE_SOURCE) / "docs/reference/doctor.md";
  const std::string page = read_file(file, 1 << 20).value();
  std::size_t at = 0;
  for (const Check& check : checks()) {
    const std::string row =
        "\n| `" + std::string(check.name) + "` | " + std::string(check.what) + " |";
    INFO(row);
    const std::size_t found = page.find(row, at);
    CHECK(found != std::string::npos);
    at = found == std::string::npos ? at : found;
  }
}

TEST_CASE("doctor: text for people has a line a check, and the remedies below", "[bin][doctor]") {
  Report report;
  report.add(failed(Blame::temporary));
  const std::string text = report.text(Terminal{});
  CHECK_THAT(text, Catch::Contains("FAIL  disk           tried: got\n"));
  CHECK_THAT(text, Catch::Contains("-> do this\n"));
  CHECK_THAT(text, Catch::Contains("1 check failed."));
  CHECK(text.find('\x1b') == std::string::npos);
}

TEST_CASE("doctor: what TLS and proxies say becomes a remedy", "[bin][doctor]") {
  struct Row {
    const char* code;
    const char* detail;
    bool proxied;
    const char* remedy;
    Blame blame;
  };
  const auto row = GENERATE(values<Row>({
      {"curl_certificate",
       "x: self-signed certificate",
       false,
       "EXTRA_CA_FILE",
       Blame::configuration},
      {"curl_certificate", "x: certificate has expired", false, "tell the host", Blame::temporary},
      {"curl_certificate",
       "certificate is not yet valid",
       false,
       "clock is behind",
       Blame::configuration},
      {"curl_certificate",
       "SSL: no alternative certificate subject name matches",
       false,
       "name that the certificate has",
       Blame::configuration},
      {"curl_certificate",
       "unable to get local issuer certificate",
       false,
       "ca-certificates",
       Blame::configuration},
      {"curl_tls",
       "wrong version number",
       false,
       "http:// into DDS_BASE_URL",
       Blame::configuration},
      {"curl_connect",
       "CONNECT tunnel failed, response 407",
       true,
       "password into HTTPS_PROXY",
       Blame::configuration},
      {"curl_connection_lost",
       "Received HTTP code 407 from proxy after CONNECT",
       true,
       "password into HTTPS_PROXY",
       Blame::configuration},
      {"curl_connect", "Connection refused", true, "check HTTPS_PROXY", Blame::configuration},
      {"curl_connect", "Connection refused", false, "check DDS_BASE_URL", Blame::temporary},
      {"curl_timeout", "it took too long", false, "firewall", Blame::temporary},
      {"plain_http", "x", false, "ALLOW_PLAIN_HTTP", Blame::configuration},
      {"something_new", "x", false, "check DDS_BASE_URL", Blame::temporary},
  }));
  INFO(row.detail);
  const Error error(ErrorKind::retry, row.code, row.detail);
  const Finding finding =
      explain("dds.http", "GET", error, url("https://dds.example"), "DDS_BASE_URL", row.proxied);
  CHECK(finding.verdict == Verdict::fail);
  CHECK(finding.blame == row.blame);
  REQUIRE(finding.remedies.size() == 1);
  CHECK_THAT(finding.remedies.front(), Catch::Contains(row.remedy));
  CHECK(finding.remedies.front().find('{') == std::string::npos);
}

TEST_CASE("doctor: a proxy's address is read as libcurl does", "[bin][doctor]") {
  CHECK(proxy_address("http://me:pass%40word@p.example:3128/") == HostPort{"p.example", "3128"});
  CHECK(proxy_address("p:8080") == HostPort{"p", "8080"});
  CHECK(proxy_address("socks5h://[::1]:9") == HostPort{"::1", "9"});
  CHECK(proxy_address("http://p") == HostPort{"p", "1080"});
  CHECK(proxy_address("https://p") == HostPort{"p", "443"});
}

TEST_CASE("doctor: whether a proxy is in between", "[bin][doctor]") {
  const auto [host, no_proxy, proxied] = GENERATE(table<const char*, const char*, bool>({
      {"dds.example", "", true},
      {"127.0.0.1", "", false},
      {"localhost", "", false},
      {"dds.example", "*", false},
      {"dds.example", "x, .EXAMPLE", false},
      {"dds.example", "dds.example", false},
      {"xdds.example", "dds.example", true},
      {"192.0.2.7", "192.0.2.0/24", false},
      {"192.0.3.7", "192.0.2.0/24", true},
  }));
  http::ClientOptions options;
  options.proxy = "http://p:1";
  options.no_proxy = no_proxy;
  INFO(host << " with " << no_proxy);
  CHECK(goes_by_proxy(options, url(("https://" + std::string(host)).c_str())) == proxied);
  options.proxy = "";
  CHECK_FALSE(goes_by_proxy(options, url("https://dds.example")));
}

TEST_CASE("doctor: a clock that is off is told, and which way", "[bin][doctor]") {
  using std::chrono::seconds;
  CHECK(clock_finding(std::nullopt, std::nullopt).verdict == Verdict::skipped);
  CHECK(clock_finding(seconds(0), std::nullopt).verdict == Verdict::ok);
  CHECK(clock_finding(std::nullopt, seconds(59)).verdict == Verdict::ok);
  CHECK_THAT(clock_finding(seconds(61), seconds(0)).got, Catch::Contains("61 s behind"));
  CHECK_THAT(clock_finding(std::nullopt, seconds(-600)).got, Catch::Contains("600 s ahead"));
}

}  // namespace pn::bin::doctor
