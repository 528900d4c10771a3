#include "http/curl_error.hpp"

#include "base/result.hpp"

#include <string>
#include <string_view>
#include <utility>

#include <curl/curl.h>

namespace pn::http {
namespace {

struct Row {
  CURLcode code;
  ErrorKind kind;
  const char* name;
  const char* meaning;
};

constexpr const char* kCertificate =
    "the server's certificate is not trusted (EXTRA_CA_FILE adds a private authority)";
constexpr const char* kLost = "the connection was lost before the whole answer came";
constexpr const char* kGarbage = "the server answered something that is not HTTP";

// NOLINTBEGIN(modernize-use-designated-initializers): a table
constexpr Row kRows[] = {
    {CURLE_UNSUPPORTED_PROTOCOL, ErrorKind::corrupt, "curl_no_http", kGarbage},  // "HTTP/0.9"
    {CURLE_URL_MALFORMAT, ErrorKind::rejected, "curl_url", "the URL is malformed"},
    {CURLE_COULDNT_RESOLVE_PROXY,
     ErrorKind::retry,
     "curl_resolve_proxy",
     "the proxy's name does not resolve"},
    {CURLE_COULDNT_RESOLVE_HOST, ErrorKind::retry, "curl_resolve", "the host does not resolve"},
    {CURLE_COULDNT_CONNECT, ErrorKind::retry, "curl_connect", "no connection"},
    {CURLE_WEIRD_SERVER_REPLY, ErrorKind::corrupt, "curl_no_http", kGarbage},
    {CURLE_HTTP2, ErrorKind::retry, "curl_http2", "the HTTP/2 connection failed"},
    {CURLE_HTTP2_STREAM, ErrorKind::retry, "curl_http2", "the HTTP/2 stream was reset"},
    {CURLE_PARTIAL_FILE, ErrorKind::retry, "curl_partial", "the body ended early"},
    {CURLE_OPERATION_TIMEDOUT, ErrorKind::retry, "curl_timeout", "it took too long"},
    {CURLE_SSL_CONNECT_ERROR, ErrorKind::retry, "curl_tls", "the TLS handshake failed"},
    {CURLE_PEER_FAILED_VERIFICATION, ErrorKind::retry, "curl_certificate", kCertificate},
    {CURLE_SSL_ISSUER_ERROR, ErrorKind::retry, "curl_certificate", kCertificate},
    {CURLE_SSL_CACERT_BADFILE,
     ErrorKind::rejected,
     "curl_ca_bundle",
     "the system's certificate bundle cannot be read (package ca-certificates)"},
    {CURLE_GOT_NOTHING, ErrorKind::retry, "curl_connection_lost", kLost},
    {CURLE_SEND_ERROR, ErrorKind::retry, "curl_connection_lost", kLost},
    {CURLE_RECV_ERROR, ErrorKind::retry, "curl_connection_lost", kLost},
    {CURLE_SEND_FAIL_REWIND,
     ErrorKind::retry,
     "curl_rewind",
     "the connection was lost and the body cannot be sent from its start again"},
    {CURLE_PROXY, ErrorKind::retry, "curl_proxy", "the proxy refused or failed"},
    {CURLE_NO_CONNECTION_AVAILABLE, ErrorKind::retry, "curl_connect", "no connection is free"},
    {CURLE_OUT_OF_MEMORY, ErrorKind::internal, "curl_memory", "out of memory"},
};
// NOLINTEND(modernize-use-designated-initializers)

}  // namespace

Error from_curl(int curl_code, std::string_view what, std::string_view said) {
  const auto code = static_cast<CURLcode>(curl_code);
  ErrorKind kind = ErrorKind::internal;
  std::string name = "curl_" + std::to_string(curl_code);
  std::string detail(what);
  detail += ": ";
  bool known = false;
  for (const Row& row : kRows) {
    if (row.code != code) continue;
    known = true;
    kind = row.kind;
    name = row.name;
    detail += row.meaning;
    break;
  }
  if (!known) detail += curl_easy_strerror(code);
  if (!said.empty()) {
    detail += ": ";
    detail += said;
  }
  return {kind, std::move(name), std::move(detail)};
}

}  // namespace pn::http
