#pragma once

#include "base/awaitable.hpp"
#include "base/event.hpp"
#include "base/result.hpp"
#include "http/client.hpp"
#include "http/curl_loop.hpp"
#include "http/extra_ca.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pn::http {

/// What every transfer of one client shares; constant after construction.
struct CurlSettings {
  ClientOptions options;
  std::unique_ptr<ExtraCa> extra_ca;
};

/// One exchange on one easy handle, and the handle again for the next exchange. Callbacks move
/// bytes between libcurl and two bounded buffers each way; the coroutine that awaits changed()
/// moves them on to the sink and from the source. Thread: the loop's.
///
///   idle -> running [start] -> done [finished]; running or done -> idle [stop]
class CurlTransfer final : private CurlLoop::Waiter {
 public:
  CurlTransfer(CurlLoop& loop, const CurlSettings& settings);
  ~CurlTransfer() override;
  CurlTransfer(const CurlTransfer&) = delete;
  CurlTransfer& operator=(const CurlTransfer&) = delete;

  /// `request` outlives the exchange: its body is sent from where it stands.
  void start(const Request& request);
  /// Ends the exchange at once if it still runs, and makes the handle ready for another.
  void stop() noexcept;

  /// Until one of the states below may have changed; may return for nothing.
  Awaitable<void> changed() { return changed_.wait(); }
  [[nodiscard]] bool done() const { return done_; }

  [[nodiscard]] bool has_received() const { return !filling_.empty(); }
  /// The sink has yet to be told of a success, whose headers are all there. Answers true once.
  bool begins();
  [[nodiscard]] int status() const { return response_.status; }
  [[nodiscard]] const Headers& headers() const { return response_.headers; }
  /// Bytes for the sink; valid until the next take(). The transfer goes on meanwhile.
  std::string_view take();

  [[nodiscard]] bool wants_body() const { return wants_body_ && !done_; }
  /// Where the source's next bytes go; then say how many (0: the end). False: fewer than promised.
  std::span<char> body_buffer();
  [[nodiscard]] bool give_body(std::size_t count);

  /// After done() and the last take().
  Result<Response> answer();

 private:
  static std::size_t on_header(char* data, std::size_t size, std::size_t count, void* self);
  static std::size_t on_data(char* data, std::size_t size, std::size_t count, void* self);
  static std::size_t on_read(char* data, std::size_t size, std::size_t count, void* self);
  static int on_seek(void* self, std::int64_t offset, int origin);
  static int on_request(void* self, char*, char*, int, int);
  static int on_tls(void* easy, void* ssl_context, void* self);

  void finished(int curl_code) noexcept override;
  void set_connection_options(const Request& request);
  void set_method(const Request& request);
  void set_headers(const Request& request);
  bool header_line(std::string_view line);
  std::size_t data(std::string_view bytes);
  std::size_t keep(std::string_view bytes);
  bool may_send();
  std::size_t read(std::span<char> out);
  void want_body();
  bool rewind();
  [[nodiscard]] bool success() const { return response_.status / 100 == 2; }

  struct Lists;

  // injected, outlive us
  CurlLoop& loop_;
  const CurlSettings& settings_;

  void* const easy_;
  Event changed_;
  std::array<char, 256> curl_said_{};  // CURL_ERROR_SIZE

  // of one exchange
  const Request* request_ = nullptr;
  std::string_view proxy_;  ///< empty: directly; a part of the settings
  std::unique_ptr<Lists> lists_;
  Response response_;
  std::optional<Error> failure_;
  int curl_code_ = 0;
  std::size_t header_bytes_ = 0;
  bool headers_ended_ = false;
  bool begun_ = false;
  bool running_ = false;
  bool done_ = false;
  bool cut_ = false;  ///< stopped on purpose: the rest of an error's body is of no use

  // the way down: libcurl fills one string while the sink has the other
  std::string filling_;
  std::string draining_;
  bool receive_paused_ = false;

  // the way up: libcurl sends one piece while the source fills the next
  struct Piece {
    std::vector<char> bytes{};
    std::size_t at = 0;
    std::size_t end = 0;

    [[nodiscard]] std::size_t left() const { return end - at; }
  };
  Piece sending_;
  Piece next_;
  std::uint64_t body_given_ = 0;  ///< by the source
  bool body_ended_ = false;       ///< the source has given all
  bool wants_body_ = false;
  bool reading_ = false;  ///< the source holds next_
  bool send_paused_ = false;
};

}  // namespace pn::http
