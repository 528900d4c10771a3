#include "storage/raw_answer.hpp"

#include "base/digest.hpp"
#include "base/encoding.hpp"
#include "base/result.hpp"
#include "http/types.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>

namespace pn::storage {
namespace {

Error changed(std::string_view what) {
  return {ErrorKind::restart,
          "item_changed",
          "the data item is not what it was when its transfer began: " + std::string(what)};
}

std::string strong_etag(const http::Headers& headers) {
  const std::string_view etag = headers.find("etag").value_or("");
  return etag.starts_with('"') ? std::string(etag) : std::string();
}

std::optional<std::string> digest_in(const http::Headers& headers, std::string_view name) {
  const auto field = headers.find(name);
  return field ? sha256_of_digest_field(*field) : std::nullopt;
}

Result<RawAnswer> whole(const http::Headers& headers, const RawAsk& ask) {
  RawAnswer out;
  out.size = from_decimal(headers.find("content-length").value_or(""));
  out.framed = out.size || headers.find("transfer-encoding").has_value();
  out.etag = strong_etag(headers);
  out.sha256 = digest_in(headers, "content-digest");
  if (!out.sha256) out.sha256 = digest_in(headers, "repr-digest");
  if (out.size && ask.size && *out.size != *ask.size) return changed("its size is another");
  return out;
}

Result<RawAnswer> rest(const http::Headers& headers, const RawAsk& ask) {
  const auto range = parse_content_range(headers.find("content-range").value_or(""));
  if (!range || ask.from == 0 || range->first != ask.from) {
    return Error(ErrorKind::retry, "range_wrong", "the server sent another range than asked for");
  }
  if (range->size && ask.size && *range->size != *ask.size) return changed("its size is another");
  const std::uint64_t sent = range->last - range->first + 1;
  const auto length = from_decimal(headers.find("content-length").value_or(""));
  if (length && *length != sent) {
    return Error(ErrorKind::retry, "range_wrong", "the server's range is not of its body's length");
  }
  RawAnswer out;
  out.from = ask.from;
  out.size = range->size;
  out.framed = length || headers.find("transfer-encoding").has_value();
  out.etag = strong_etag(headers);
  // A Content-Digest would be of these bytes alone.
  out.sha256 = digest_in(headers, "repr-digest");
  if (!ask.etag.empty() && !out.etag.empty() && out.etag != ask.etag) {
    return changed("its ETag is another");
  }
  return out;
}

}  // namespace

std::optional<ContentRange> parse_content_range(std::string_view field) {
  constexpr std::string_view kUnit = "bytes ";
  if (!field.starts_with(kUnit)) return std::nullopt;
  field.remove_prefix(kUnit.size());
  const std::size_t dash = field.find('-');
  const std::size_t slash = field.find('/');
  if (dash == std::string_view::npos || slash == std::string_view::npos || dash > slash) {
    return std::nullopt;
  }
  const auto first = from_decimal(field.substr(0, dash));
  const auto last = from_decimal(field.substr(dash + 1, slash - dash - 1));
  const std::string_view total = field.substr(slash + 1);
  const auto size = from_decimal(total);
  if (!first || !last || *first > *last || (!size && total != "*")) return std::nullopt;
  if (size && *last >= *size) return std::nullopt;
  return ContentRange{.first = *first, .last = *last, .size = size};
}

std::optional<std::string> sha256_of_digest_field(std::string_view field) {
  constexpr std::string_view kKey = "sha-256=:";
  const std::size_t at = field.find(kKey);
  if (at == std::string_view::npos) return std::nullopt;
  field.remove_prefix(at + kKey.size());
  const std::size_t end = field.find(':');
  if (end == std::string_view::npos) return std::nullopt;
  std::optional<std::string> bytes = from_base64(field.substr(0, end));
  if (bytes && bytes->size() != std::tuple_size_v<Sha256Digest>) bytes.reset();
  return bytes;  // built in place: g++ 12 warns of a move here
}

Result<RawAnswer> read_raw_head(int status, const http::Headers& headers, const RawAsk& ask) {
  if (status == 200) return whole(headers, ask);
  if (status == 206) return rest(headers, ask);
  return Error(ErrorKind::retry,
               "raw_status",
               "the server answered a read of bytes with " + std::to_string(status));
}

}  // namespace pn::storage
