#include "bin/doctor_report.hpp"

#include "base/file.hpp"
#include "base/result.hpp"
#include "bin/doctor.hpp"
#include "bin/terminal.hpp"
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
    const char* remedy;
    Blame blame;
  };
  const auto row = GENERATE(values<Row>({
      {"curl_certificate", "x: self-signed certificate", "EXTRA_CA_FILE", Blame::configuration},
      {"curl_certificate", "x: certificate has expired", "tell the host", Blame::temporary},
      {"curl_certificate", "certificate is not yet valid", "clock is behind", Blame::configuration},
      {"curl_certificate",
       "SSL: no alternative certificate subject name matches",
       "name that the certificate has",
       Blame::configuration},
      {"curl_certificate",
       "unable to get local issuer certificate",
       "ca-certificates",
       Blame::configuration},
      {"curl_tls", "wrong version number", "http:// into DDS_BASE_URL", Blame::configuration},
      {"proxy_auth", "x", "password into HTTPS_PROXY", Blame::configuration},
      {"proxy_connect", "Connection refused", "check HTTPS_PROXY", Blame::configuration},
      {"proxy_refused", "answered 403", "let who runs the proxy", Blame::configuration},
      {"proxy_certificate", "self-signed", "in EXTRA_CA_FILE", Blame::configuration},
      {"proxy_tls", "wrong version", "http:// into HTTPS_PROXY", Blame::configuration},
      {"curl_resolve_proxy", "x", "correct HTTPS_PROXY", Blame::configuration},
      {"curl_connect", "Connection refused", "check DDS_BASE_URL", Blame::temporary},
      {"curl_timeout", "it took too long", "firewall", Blame::temporary},
      {"plain_http", "x", "ALLOW_PLAIN_HTTP", Blame::configuration},
      {"something_new", "x", "check DDS_BASE_URL", Blame::temporary},
  }));
  INFO(row.detail);
  const Error error(ErrorKind::retry, row.code, row.detail);
  const Finding finding =
      explain("dds.http", "GET", error, url("https://dds.example"), "DDS_BASE_URL");
  CHECK(finding.verdict == Verdict::fail);
  CHECK(finding.blame == row.blame);
  REQUIRE(finding.remedies.size() == 1);
  CHECK_THAT(finding.remedies.front(), Catch::Contains(row.remedy));
  CHECK(finding.remedies.front().find('{') == std::string::npos);
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
