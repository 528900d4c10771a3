#include "base/result.hpp"
#include "base/time.hpp"
#include "http/client.hpp"
#include "http/curl_error.hpp"

#include <chrono>
#include <string>
#include <utility>

#include <catch2/catch.hpp>
#include <curl/curl.h>

namespace pn::http {

TEST_CASE("from_curl: every code that can happen has its kind", "[http][errors]") {
  const auto [curl, kind, code] = GENERATE(table<CURLcode, ErrorKind, const char*>({
      {CURLE_COULDNT_RESOLVE_HOST, ErrorKind::retry, "curl_resolve"},
      {CURLE_COULDNT_RESOLVE_PROXY, ErrorKind::retry, "curl_resolve_proxy"},
      {CURLE_COULDNT_CONNECT, ErrorKind::retry, "curl_connect"},
      {CURLE_OPERATION_TIMEDOUT, ErrorKind::retry, "curl_timeout"},
      {CURLE_PARTIAL_FILE, ErrorKind::retry, "curl_partial"},
      {CURLE_GOT_NOTHING, ErrorKind::retry, "curl_connection_lost"},
      {CURLE_SEND_ERROR, ErrorKind::retry, "curl_connection_lost"},
      {CURLE_RECV_ERROR, ErrorKind::retry, "curl_connection_lost"},
      {CURLE_SEND_FAIL_REWIND, ErrorKind::retry, "curl_rewind"},
      {CURLE_HTTP2_STREAM, ErrorKind::retry, "curl_http2"},
      {CURLE_SSL_CONNECT_ERROR, ErrorKind::retry, "curl_tls"},
      {CURLE_PEER_FAILED_VERIFICATION, ErrorKind::retry, "curl_certificate"},
      {CURLE_PROXY, ErrorKind::retry, "curl_proxy"},
      {CURLE_UNSUPPORTED_PROTOCOL, ErrorKind::corrupt, "curl_no_http"},
      {CURLE_WEIRD_SERVER_REPLY, ErrorKind::corrupt, "curl_no_http"},
      {CURLE_URL_MALFORMAT, ErrorKind::rejected, "curl_url"},
      {CURLE_SSL_CACERT_BADFILE, ErrorKind::rejected, "curl_ca_bundle"},
      {CURLE_OUT_OF_MEMORY, ErrorKind::internal, "curl_memory"},
      {CURLE_FTP_WEIRD_227_FORMAT, ErrorKind::internal, "curl_14"},
  }));
  const Error error = from_curl(curl, "GET https://host/x", "said so");
  CHECK(error.kind == kind);
  CHECK(error.code == code);
  CHECK_THAT(error.detail, Catch::StartsWith("GET https://host/x: "));
  CHECK_THAT(error.detail, Catch::EndsWith(": said so"));
  CHECK_THAT(from_curl(curl, "x", "").detail, !Catch::EndsWith(": "));
}

TEST_CASE("from_http_status: the status decides the kind", "[http][errors]") {
  const auto [status, kind] = GENERATE(table<int, ErrorKind>({
      {100, ErrorKind::corrupt},  {301, ErrorKind::corrupt},      {304, ErrorKind::corrupt},
      {400, ErrorKind::rejected}, {401, ErrorKind::unauthorized}, {402, ErrorKind::rejected},
      {403, ErrorKind::rejected}, {404, ErrorKind::not_found},    {408, ErrorKind::retry},
      {409, ErrorKind::rejected}, {410, ErrorKind::not_found},    {413, ErrorKind::rejected},
      {425, ErrorKind::retry},    {429, ErrorKind::retry},        {499, ErrorKind::rejected},
      {500, ErrorKind::retry},    {501, ErrorKind::retry},        {503, ErrorKind::retry},
      {507, ErrorKind::full},     {599, ErrorKind::retry},        {0, ErrorKind::corrupt},
      {999, ErrorKind::corrupt},
  }));
  Response response;
  response.status = status;
  const Error error = from_http_status(response);
  CHECK(error.kind == kind);
  CHECK(error.code == "http_" + std::to_string(status));
  CHECK_THAT(error.detail, Catch::EndsWith(std::to_string(status)));
}

TEST_CASE("from_http_status: the body says why, when it can be read", "[http][errors]") {
  Response response;
  response.status = 400;
  const auto detail = [&](std::string body) {
    response.body = std::move(body);
    return from_http_status(response).detail;
  };
  CHECK(detail(R"({"error":{"code":"c","message":"no such stage"}})") ==
        "the server answered 400: no such stage");
  CHECK(detail("<h1>\r\nBad\x1b[31m   Gateway</h1>\n") ==
        "the server answered 400: <h1> Bad [31m Gateway</h1>");
  CHECK(detail(R"({"error":{"message":7}})") ==
        "the server answered 400: {\"error\":{\"message\":7}}");
  CHECK(detail("\xff\xfe{").starts_with("the server answered 400: "));
  const std::string longer = detail(std::string(199, 'a') + "\xc3\xa9" + "bbb");
  CHECK(longer == "the server answered 400: " + std::string(199, 'a') + "...");
}

TEST_CASE("from_http_status: Retry-After is kept for what may be retried", "[http][errors]") {
  Response response;
  response.status = 503;
  response.headers.set("Retry-After", "7");
  CHECK(from_http_status(response).after == std::chrono::seconds(7));
  response.headers.set("Date", "Fri, 20 Nov 2026 10:00:00 GMT");
  response.headers.set("Retry-After", "Fri, 20 Nov 2026 10:01:30 GMT");
  CHECK(from_http_status(response).after == std::chrono::seconds(90));
  response.status = 404;
  CHECK_FALSE(from_http_status(response).after);
}

TEST_CASE("retry_after: seconds or a date, nothing else", "[http][errors]") {
  const SystemTime now = *parse_rfc3339("2026-11-20T10:00:00Z");
  const auto [value, expected] = GENERATE(table<const char*, int>({
      {"0", 0},
      {"120", 120},
      {"86400", 86400},
      {"86401", -1},
      {"99999999999999", -1},
      {"-1", -1},
      {"1.5", -1},
      {"12x", -1},
      {"", -1},
      {"soon", -1},
      {"Fri, 20 Nov 2026 10:00:30 GMT", 30},
      {"Fri, 20 Nov 2026 09:00:00 GMT", 0},
      {"Sun, 22 Nov 2026 10:00:00 GMT", -1},
  }));
  Headers headers;
  headers.set("retry-after", value);
  INFO(value);
  const auto got = retry_after(headers, now);
  if (expected < 0) {
    CHECK_FALSE(got);
  } else {
    CHECK(got == std::chrono::seconds(expected));
  }
  CHECK_FALSE(retry_after(Headers(), now));
}

TEST_CASE("errors: a server's date that cannot be read is no time", "[http]") {
  Headers headers;
  CHECK_FALSE(server_date(headers));
  for (const char* text :
       {"", "yesterday", "Fri, 99 Nov 2026 10:00:00 GMT", "31 Dec]001466634113 GMT"}) {
    INFO(text);
    headers.set("Date", text);
    CHECK_FALSE(server_date(headers));
  }
  headers.set("Date", "Fri, 20 Nov 2026 10:00:00 GMT");
  CHECK(server_date(headers) == parse_rfc3339("2026-11-20T10:00:00Z").value());
}

}  // namespace pn::http
