#include "http/curl_transfer.hpp"

#include "base/result.hpp"
#include "http/client.hpp"
#include "http/curl_error.hpp"
#include "http/curl_loop.hpp"
#include "http/proxy.hpp"
#include "http/types.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <curl/curl.h>

namespace pn::http {
namespace {

// Each piece costs a change of threads and back, some 100 us on a small virtual machine: as much as
// copying 512 KiB. Two buffers each way, so that the network and the disk work at the same time.
constexpr std::size_t kPiece = 512 * 1024;
constexpr std::size_t kBodyBuffer = 512 * 1024;     // what one read of a source may bring
constexpr long kStreamReceive = 256 * 1024;         // per recv() where a sink waits
constexpr long kStreamSend = 128 * 1024;            // per send() where a source gives
constexpr std::size_t kErrorBodyLimit = 64 * 1024;  // client.hpp: enough for an error's detail
constexpr std::size_t kHeaderLimit = 64 * 1024;

static_assert(CURL_ERROR_SIZE <= 256);

struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

void append(std::unique_ptr<curl_slist, FreeList>& list, const std::string& line) {
  curl_slist* grown = curl_slist_append(list.get(), line.c_str());
  if (grown == nullptr) throw std::bad_alloc();
  (void)list.release();
  list.reset(grown);
}

}  // namespace

struct CurlTransfer::Lists {
  std::unique_ptr<curl_slist, FreeList> headers;
};

CurlTransfer::CurlTransfer(CurlLoop& loop, const CurlSettings& settings)
    : loop_(loop), settings_(settings), easy_(curl_easy_init()), changed_(loop.executor()) {
  if (easy_ == nullptr) throw std::bad_alloc();
}

CurlTransfer::~CurlTransfer() {
  stop();
  curl_easy_cleanup(easy_);
}

void CurlTransfer::start(const Request& request) {
  request_ = &request;
  set_connection_options(request);
  set_method(request);
  set_headers(request);
  running_ = true;
  try {
    loop_.add(easy_, *this);
  } catch (...) {
    running_ = false;
    throw;
  }
}

void CurlTransfer::stop() noexcept {
  if (running_) loop_.remove(easy_);
  curl_easy_reset(easy_);
  request_ = nullptr;
  lists_.reset();
  response_ = Response();
  failure_.reset();
  curl_said_[0] = '\0';
  curl_code_ = 0;
  header_bytes_ = 0;
  headers_ended_ = begun_ = running_ = done_ = cut_ = receive_paused_ = false;
  // Memory goes back as well: a client that rests costs next to nothing.
  filling_ = std::string();
  draining_ = std::string();
  sending_ = Piece();
  next_ = Piece();
  body_given_ = 0;
  body_ended_ = wants_body_ = reading_ = send_paused_ = false;
}

void CurlTransfer::set_connection_options(const Request& request) {
  const ClientOptions& options = settings_.options;
  const bool streamed = request.sink != nullptr || request.source != nullptr;
  const std::string url = request.url.str();
  curl_easy_setopt(easy_, CURLOPT_URL, url.c_str());
  curl_easy_setopt(easy_, CURLOPT_PATH_AS_IS, 1L);
  curl_easy_setopt(easy_, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy_, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy_, CURLOPT_NOSIGNAL, 1L);
  // Else ending a transfer that still resolves its host would block the loop until the resolver's
  // thread has given up.
  curl_easy_setopt(easy_, CURLOPT_QUICK_EXIT, 1L);
  curl_easy_setopt(easy_, CURLOPT_TCP_NODELAY, 1L);
  curl_easy_setopt(easy_, CURLOPT_TCP_KEEPALIVE, 1L);
  // A paused HTTP/2 stream holds up all others of its connection, and parallel transfers would
  // share one congestion window: bodies that stream get connections of their own.
  const long version = streamed ? CURL_HTTP_VERSION_1_1 : CURL_HTTP_VERSION_2TLS;
  curl_easy_setopt(easy_, CURLOPT_HTTP_VERSION, version);
  if (request.sink != nullptr) curl_easy_setopt(easy_, CURLOPT_BUFFERSIZE, kStreamReceive);
  if (request.source != nullptr) curl_easy_setopt(easy_, CURLOPT_UPLOAD_BUFFERSIZE, kStreamSend);

  // Set even when empty: else libcurl reads the environment's variables itself.
  const std::string& proxy = proxy_for(options, request.url);
  proxy_ = proxy;
  curl_easy_setopt(easy_, CURLOPT_PROXY, proxy.c_str());
  curl_easy_setopt(easy_, CURLOPT_NOPROXY, "");
  curl_easy_setopt(easy_, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  if (!options.unix_socket.empty()) {
    curl_easy_setopt(easy_, CURLOPT_UNIX_SOCKET_PATH, options.unix_socket.c_str());
  }
  if (settings_.extra_ca) {
    curl_easy_setopt(easy_, CURLOPT_SSL_CTX_FUNCTION, &CurlTransfer::on_tls);
    curl_easy_setopt(easy_, CURLOPT_SSL_CTX_DATA, this);
  }

  const auto connect_ms = static_cast<long>(options.connect_timeout.count());
  curl_easy_setopt(easy_, CURLOPT_CONNECTTIMEOUT_MS, connect_ms);
  const auto timeout_ms = static_cast<long>(request.timeout.count());
  curl_easy_setopt(easy_, CURLOPT_TIMEOUT_MS, timeout_ms);
  if (request.low_speed_bytes > 0) {
    const auto bytes = static_cast<long>(request.low_speed_bytes);
    const auto seconds = static_cast<long>(request.low_speed_time.count());
    curl_easy_setopt(easy_, CURLOPT_LOW_SPEED_LIMIT, bytes);
    curl_easy_setopt(easy_, CURLOPT_LOW_SPEED_TIME, seconds);
  }

  curl_easy_setopt(easy_, CURLOPT_ERRORBUFFER, curl_said_.data());
  curl_easy_setopt(easy_, CURLOPT_HEADERFUNCTION, &CurlTransfer::on_header);
  curl_easy_setopt(easy_, CURLOPT_HEADERDATA, this);
  curl_easy_setopt(easy_, CURLOPT_WRITEFUNCTION, &CurlTransfer::on_data);
  curl_easy_setopt(easy_, CURLOPT_WRITEDATA, this);
  if (request.may_send) {
    curl_easy_setopt(easy_, CURLOPT_PREREQFUNCTION, &CurlTransfer::on_request);
    curl_easy_setopt(easy_, CURLOPT_PREREQDATA, this);
  }
}

void CurlTransfer::set_method(const Request& request) {
  const std::string method(name(request.method));
  if (request.source != nullptr) {
    curl_easy_setopt(easy_, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(easy_, CURLOPT_READFUNCTION, &CurlTransfer::on_read);
    curl_easy_setopt(easy_, CURLOPT_READDATA, this);
    curl_easy_setopt(easy_, CURLOPT_SEEKFUNCTION, &CurlTransfer::on_seek);
    curl_easy_setopt(easy_, CURLOPT_SEEKDATA, this);
    const std::optional<std::uint64_t> size = request.source->size();
    const curl_off_t length = size ? static_cast<curl_off_t>(*size) : -1;
    curl_easy_setopt(easy_, CURLOPT_INFILESIZE_LARGE, length);
    curl_easy_setopt(easy_, CURLOPT_CUSTOMREQUEST, method.c_str());
    return;
  }
  const bool may_be_empty = request.method == Method::get || request.method == Method::del;
  if (request.method == Method::head) {
    curl_easy_setopt(easy_, CURLOPT_NOBODY, 1L);
  } else if (request.body.empty() && may_be_empty) {
    curl_easy_setopt(easy_, CURLOPT_HTTPGET, 1L);
    if (request.method == Method::del) {
      curl_easy_setopt(easy_, CURLOPT_CUSTOMREQUEST, method.c_str());
    }
  } else {
    curl_easy_setopt(easy_, CURLOPT_POST, 1L);
    const auto length = static_cast<curl_off_t>(request.body.size());
    curl_easy_setopt(easy_, CURLOPT_POSTFIELDSIZE_LARGE, length);
    curl_easy_setopt(easy_, CURLOPT_POSTFIELDS, request.body.c_str());
    curl_easy_setopt(easy_, CURLOPT_CUSTOMREQUEST, method.c_str());
  }
}

void CurlTransfer::set_headers(const Request& request) {
  lists_ = std::make_unique<Lists>();
  for (const auto& [field, value] : request.headers.all()) {
    append(lists_->headers, value.empty() ? field + ";" : field + ": " + value);
  }
  if (!request.headers.find("content-type")) append(lists_->headers, "Content-Type:");
  append(lists_->headers, "Expect:");
  curl_easy_setopt(easy_, CURLOPT_HTTPHEADER, lists_->headers.get());
  curl_easy_setopt(easy_, CURLOPT_USERAGENT, settings_.options.user_agent.c_str());
}

// --- callbacks: libcurl must not be called from here ---

std::size_t CurlTransfer::on_header(char* data, std::size_t size, std::size_t count, void* self) {
  const std::string_view line(data, size * count);
  return static_cast<CurlTransfer*>(self)->header_line(line) ? line.size() : 0;
}

std::size_t CurlTransfer::on_data(char* data, std::size_t size, std::size_t count, void* self) {
  return static_cast<CurlTransfer*>(self)->data(std::string_view(data, size * count));
}

std::size_t CurlTransfer::on_read(char* data, std::size_t size, std::size_t count, void* self) {
  return static_cast<CurlTransfer*>(self)->read(std::span<char>(data, size * count));
}

int CurlTransfer::on_seek(void* self, std::int64_t offset, int origin) {
  if (offset != 0 || origin != SEEK_SET) return CURL_SEEKFUNC_CANTSEEK;
  return static_cast<CurlTransfer*>(self)->rewind() ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_FAIL;
}

int CurlTransfer::on_request(void* self, char*, char*, int, int) {
  return static_cast<CurlTransfer*>(self)->may_send() ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

int CurlTransfer::on_tls(void*, void* ssl_context, void* self) {
  const bool added = static_cast<CurlTransfer*>(self)->settings_.extra_ca->add_to(ssl_context);
  return added ? CURLE_OK : CURLE_SSL_CACERT_BADFILE;
}

bool CurlTransfer::header_line(std::string_view line) {
  header_bytes_ += line.size();
  if (header_bytes_ > kHeaderLimit) {
    failure_ = Error(ErrorKind::corrupt, "headers_too_large", "the answer's headers are too large");
    return false;
  }
  while (!line.empty() && (line.back() == '\r' || line.back() == '\n')) line.remove_suffix(1);
  if (line.starts_with("HTTP/")) {  // also after a 100 or 103: only the last answer counts
    response_ = Response();
    headers_ended_ = false;
    const std::size_t space = std::min(line.find(' '), line.size());
    const std::string_view rest = line.substr(std::min(space + 1, line.size()));
    std::from_chars(rest.data(), rest.data() + rest.size(), response_.status);
    return true;
  }
  if (headers_ended_) return true;  // a trailer: libcurl passes it on, but not its empty line
  headers_ended_ = line.empty();
  const std::size_t colon = line.find(':');
  if (colon != std::string_view::npos) {
    response_.headers.add(line.substr(0, colon), line.substr(colon + 1));
  }
  return true;
}

std::size_t CurlTransfer::data(std::string_view bytes) {
  if (request_->sink == nullptr || !success()) return keep(bytes);
  if (!filling_.empty() && filling_.size() + bytes.size() > kPiece) {
    receive_paused_ = true;
    return CURL_WRITEFUNC_PAUSE;  // libcurl keeps these bytes, at most one read of the socket
  }
  const bool first = filling_.empty();
  const std::size_t needed = filling_.size() + bytes.size();
  if (needed > filling_.capacity()) {
    filling_.reserve(std::max(needed, std::min(2 * needed, kPiece)));
  }
  filling_.append(bytes);
  if (first) changed_.set();
  return bytes.size();
}

std::size_t CurlTransfer::keep(std::string_view bytes) {
  const std::uint64_t limit = request_->sink != nullptr ? kErrorBodyLimit : request_->body_limit;
  const std::uint64_t room = limit - response_.body.size();
  if (bytes.size() <= room) {
    response_.body.append(bytes);
    return bytes.size();
  }
  if (success()) {
    failure_ = Error(ErrorKind::rejected,
                     "body_too_large",
                     "the answer is larger than the " + std::to_string(limit) + " bytes allowed");
  } else {
    // The status decides what happens next, so a long error page must not hide it.
    response_.body.append(bytes.substr(0, room));
    cut_ = true;
  }
  return 0;
}

bool CurlTransfer::may_send() {
  const Result<void> allowed = request_->may_send ? request_->may_send() : Result<void>();
  if (!allowed.ok()) failure_ = allowed.error();
  return allowed.ok();
}

std::size_t CurlTransfer::read(std::span<char> out) {
  // What was filled when it might be sent may lie here for long: the process may have been stopped.
  if (!may_send()) return CURL_READFUNC_ABORT;
  if (sending_.left() == 0) {
    const bool ready = next_.left() > 0;
    if (!ready && body_ended_) return 0;
    if (ready) std::swap(sending_, next_);
    want_body();
    if (!ready) {
      send_paused_ = true;
      return CURL_READFUNC_PAUSE;
    }
  }
  const std::size_t count = std::min(out.size(), sending_.left());
  std::memcpy(out.data(), sending_.bytes.data() + sending_.at, count);
  sending_.at += count;
  return count;
}

void CurlTransfer::want_body() {
  if (body_ended_ || reading_ || wants_body_) return;
  wants_body_ = true;
  changed_.set();
}

bool CurlTransfer::rewind() {
  if (reading_) return false;  // the source is at work and cannot be turned back under its feet
  if (!request_->source->rewind()) return false;
  sending_.at = sending_.end = next_.at = next_.end = 0;
  body_given_ = 0;
  body_ended_ = wants_body_ = false;
  return true;
}

void CurlTransfer::finished(int curl_code) noexcept {
  running_ = false;
  done_ = true;
  curl_code_ = curl_code;
  changed_.set();
}

// --- called by the coroutine ---

bool CurlTransfer::begins() {
  if (begun_ || request_->sink == nullptr || !success() || !headers_ended_) return false;
  if (filling_.empty() && !(done_ && curl_code_ == CURLE_OK)) return false;
  begun_ = true;
  return true;
}

std::string_view CurlTransfer::take() {
  draining_.clear();
  std::swap(filling_, draining_);
  // Before the sink has written: there is a buffer for what comes meanwhile.
  if (receive_paused_ && running_) {
    receive_paused_ = false;
    loop_.resume(easy_);
  }
  return draining_;
}

std::span<char> CurlTransfer::body_buffer() {
  if (next_.bytes.empty()) {
    const std::uint64_t whole = request_->source->size().value_or(kBodyBuffer);
    next_.bytes.resize(std::clamp<std::uint64_t>(whole, 1, kBodyBuffer));
  }
  wants_body_ = false;
  reading_ = true;
  return next_.bytes;
}

bool CurlTransfer::give_body(std::size_t count) {
  const std::optional<std::uint64_t> whole = request_->source->size();
  reading_ = false;
  next_.at = 0;
  next_.end = count;
  body_given_ += count;
  // libcurl would send what there is and then wait for an answer that cannot come.
  if (count == 0 && body_given_ < whole.value_or(0)) return false;
  body_ended_ = count == 0 || body_given_ == whole;
  if (running_ && send_paused_) {
    send_paused_ = false;
    loop_.resume(easy_);
  }
  return true;
}

Result<Response> CurlTransfer::answer() {
  if (failure_) return *std::move(failure_);
  // A connection that closes between two header lines is a success to libcurl 7.88.
  if (curl_code_ == CURLE_OK && !headers_ended_) curl_code_ = CURLE_GOT_NOTHING;
  const Url& url = request_->url;
  const auto what = [&] {
    return std::string(name(request_->method)) + " " + url.origin() + url.path();
  };
  if (!proxy_.empty()) {
    long tunnel_status = 0;
    curl_easy_getinfo(easy_, CURLINFO_HTTP_CONNECTCODE, &tunnel_status);
    const ProxyOutcome outcome{.curl_code = cut_ ? 0 : curl_code_,
                               .tunnel_status = static_cast<int>(tunnel_status),
                               .status = response_.status};
    std::optional<Error> fault = from_proxy(proxy_, url, outcome, what(), curl_said_.data());
    if (fault) return *std::move(fault);
  }
  if (curl_code_ == CURLE_OK || cut_) return std::move(response_);
  return from_curl(curl_code_, what(), curl_said_.data());
}

}  // namespace pn::http
