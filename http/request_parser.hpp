#pragma once

#include "http/server.hpp"

#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>

namespace pn::http {

/// Beast's request grammar, writing straight into a ServerRequest and into the reader's buffer: no
/// field list of Beast's in between, so that a small request costs no allocation twice.
///
/// Internal to the server. Beast's own header limit counts only what is not yet consumed; the total
/// is counted here, so that ten thousand short fields are refused too.
class RequestParser final : public boost::beast::http::basic_parser<true> {
 public:
  using ErrorCode = boost::beast::error_code;

  RequestParser(ServerRequest& request, const ServerOptions& options)
      : request_(request), left_(options.header_limit) {
    header_limit(options.header_limit);
    body_limit(options.body_limit);
    eager(false);
  }

  /// Where the next body bytes go. `filled()` says how many came since.
  void into(std::span<char> out) {
    out_ = out;
    filled_ = 0;
  }
  [[nodiscard]] std::size_t filled() const { return filled_; }

  [[nodiscard]] const std::string& target() const { return target_; }
  [[nodiscard]] bool method_known() const { return method_known_; }
  [[nodiscard]] bool http_1_0() const { return version_ == 10; }

 private:
  using View = boost::beast::string_view;
  using Field = boost::beast::http::field;

  static std::string_view view(View text) { return {text.data(), text.size()}; }

  bool count(std::size_t bytes, ErrorCode& ec) {
    if (bytes > left_) {
      ec = boost::beast::http::error::header_limit;
      return false;
    }
    left_ -= bytes;
    return true;
  }

  void on_request_impl(
      boost::beast::http::verb, View method, View target, int version, ErrorCode& ec) override {
    if (!count(method.size() + target.size() + 12, ec)) return;
    const std::optional<Method> known = http::parse_method(view(method));
    method_known_ = known.has_value();
    if (known) request_.method = *known;
    target_.assign(target.data(), target.size());
    version_ = version;
  }

  void on_response_impl(int, View, int, ErrorCode&) override {}

  void on_field_impl(Field field, View name, View value, ErrorCode& ec) override {
    if (!count(name.size() + value.size() + 4, ec)) return;
    if (head_done_) return;  // trailers are read and dropped
    if (field == Field::transfer_encoding && !boost::beast::iequals(value, "chunked")) {
      // Another coding would leave the end of the body undefined: request smuggling.
      ec = boost::beast::http::error::bad_transfer_encoding;
      return;
    }
    request_.headers.add(view(name), view(value));
  }

  void on_header_impl(ErrorCode&) override { head_done_ = true; }
  void on_body_init_impl(const boost::optional<std::uint64_t>&, ErrorCode&) override {}

  std::size_t on_body_impl(View body, ErrorCode& ec) override { return take(body, ec); }
  void on_chunk_header_impl(std::uint64_t, View, ErrorCode&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, View body, ErrorCode& ec) override {
    return take(body, ec);
  }
  void on_finish_impl(ErrorCode&) override {}

  std::size_t take(View body, ErrorCode& ec) {
    const std::size_t room = out_.size() - filled_;
    const std::size_t bytes = body.size() < room ? body.size() : room;
    char* const to = out_.data() + filled_;
    if (bytes > 0 && to != body.data()) std::memcpy(to, body.data(), bytes);
    filled_ += bytes;
    if (bytes < body.size()) ec = boost::beast::http::error::need_buffer;
    return bytes;
  }

  ServerRequest& request_;
  std::size_t left_;
  std::string target_;
  std::span<char> out_;
  std::size_t filled_ = 0;
  int version_ = 11;
  bool method_known_ = false;
  bool head_done_ = false;
};

}  // namespace pn::http
