#include "base/digest.hpp"
#include "base/encoding.hpp"
#include "base/result.hpp"
#include "http/multipart.hpp"
#include "http/part_header.hpp"
#include "http/types.hpp"
#include "storage/raw_answer.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>

// Content-Disposition and its kin, a part's whole header block, Content-Type, Content-Digest, and
// what an answer to a Range says of its bytes.
namespace pn::http {
namespace {

using fuzz::require;

bool is_token(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  });
}

bool is_lower(std::string_view text) {
  return std::ranges::none_of(text, [](char c) { return c >= 'A' && c <= 'Z'; });
}

void check_parameters(std::string_view text) {
  const HeaderParameters parsed = parse_parameters(text);
  require(is_lower(parsed.value), "the value before the parameters is in lower case");
  std::vector<std::pair<std::string, std::string>> sound;
  for (const auto& [name, value] : parsed.parameters) {
    require(!name.empty() && !name.ends_with('*'), "a parameter has a name");
    require(is_lower(name), "a parameter's name is in lower case");
    require(value.size() <= text.size(), "a value comes from the text");
    if (is_token(name) && value.find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos) {
      sound.emplace_back(name, value);
    }
  }
  // What is written of it is read back as it was.
  const std::string head = part_head("b", "text/plain", sound);
  const std::string_view block = std::string_view(head).substr(head.find("\r\n") + 2);
  const Result<PartHeader> again = parse_part_header(block.substr(0, block.size() - 2));
  require(again.ok(), "a written header is sound");
  for (const auto& [name, value] : sound) require(again->get(name) == value, "it is read back");
  require(again->disposition.size() == sound.size(), "and nothing else");
}

void check_block(std::string_view text) {
  const Result<PartHeader> parsed = parse_part_header(text);
  if (!parsed.ok()) {
    require(parsed.error().code == "multipart_header", "a bad header is called one");
    return;
  }
  const Result<std::optional<std::uint64_t>> size = parsed->size();
  if (size.ok() && *size) {
    std::string digits = parsed->get("size");
    digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size() - 1));
    require(std::to_string(**size) == digits, "a size is the number that stands there");
  }
}

void check_digest(std::string_view text) {
  const std::optional<std::string> digest = storage::sha256_of_digest_field(text);
  if (digest) {
    require(digest->size() == std::tuple_size_v<Sha256Digest>, "a SHA-256 has 32 bytes");
    const std::string written = "sha-256=:" + to_base64(*digest) + ":";
    require(storage::sha256_of_digest_field(written) == digest, "a digest is read back");
  }
  const Sha256Digest of_text = sha256(text);
  const std::string bytes(of_text.begin(), of_text.end());
  const std::string field = "md5=:AAAA:, sha-256=:" + to_base64(bytes) + ":";
  require(storage::sha256_of_digest_field(field) == bytes, "ours is found among others");
}

void check_range(std::string_view text) {
  const std::optional<storage::ContentRange> range = storage::parse_content_range(text);
  if (!range) return;
  require(range->first <= range->last, "a range does not end before it begins");
  require(!range->size || range->last < *range->size, "a range ends within the whole");
  const std::string written = "bytes " + std::to_string(range->first) + "-" +
                              std::to_string(range->last) + "/" +
                              (range->size ? std::to_string(*range->size) : "*");
  require(storage::parse_content_range(written) == range, "a range is read back");
}

/// "name: value", a line each.
Headers fields_of(std::string_view text) {
  Headers out;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const std::size_t colon = line.find(':');
    if (colon != std::string_view::npos) out.add(line.substr(0, colon), line.substr(colon + 1));
  }
  return out;
}

std::optional<storage::ContentRange> range_in(const Headers& headers) {
  return storage::parse_content_range(headers.find("content-range").value_or(""));
}

void check_answer(const Headers& headers, int status, const storage::RawAsk& ask) {
  const Result<storage::RawAnswer> answer = storage::read_raw_head(status, headers, ask);
  if (!answer.ok()) {
    const std::string& code = answer.error().code;
    require(code == "range_wrong" || code == "item_changed", "what is of no use is called that");
    return;
  }
  const std::uint64_t from = status == 206 ? ask.from : 0;
  require(answer->from == from, "bytes go where they were asked for, or to the beginning");
  if (status == 206) {
    const std::optional<storage::ContentRange> range = range_in(headers);
    require(ask.from > 0 && range && range->first == ask.from, "a part is the one asked for");
  }
  require(!ask.size || !answer->size || *answer->size == *ask.size, "the whole is the one known");
  require(!answer->sha256 || answer->sha256->size() == std::tuple_size_v<Sha256Digest>,
          "a SHA-256 has 32 bytes");
  require(answer->etag.empty() || answer->etag.starts_with('"'), "a weak ETag tells nothing");
  require(status == 200 || ask.etag.empty() || answer->etag.empty() || answer->etag == ask.etag,
          "a part is of the version that its beginning is of");
}

void check_raw_head(std::string_view text) {
  const Headers headers = fields_of(text);
  const std::optional<storage::ContentRange> range = range_in(headers);
  const std::uint64_t first = range ? range->first : 1;
  const std::optional<std::uint64_t> whole = range ? range->size : std::nullopt;
  for (const int status : {200, 206}) {
    for (const std::uint64_t from : {std::uint64_t{0}, first, first + 1}) {
      for (const std::string_view etag : {"", "\"a\""}) {
        check_answer(headers, status, {.from = from, .size = {}, .etag = std::string(etag)});
        check_answer(headers, status, {.from = from, .size = whole, .etag = std::string(etag)});
        check_answer(headers, status, {.from = from, .size = 10, .etag = std::string(etag)});
      }
    }
  }
}

}  // namespace
}  // namespace pn::http

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace pn::http;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_parameters(text);
  check_block(text);
  check_digest(text);
  check_range(text);
  check_raw_head(text);
  const auto boundary = MultipartReader::boundary_of(text);
  if (boundary.ok()) {
    pn::fuzz::require(!boundary->empty() && boundary->size() <= 70, "RFC 2046 5.1.1");
    pn::fuzz::require(boundary->find_first_of("\r\n") == std::string::npos, "a boundary is a line");
    pn::fuzz::require(media_type(text).starts_with("multipart/"), "only multipart has one");
  }
  Headers headers;
  headers.add("x", text);
  headers.set("y", text);
  pn::fuzz::require(headers.find("X")->find_first_of("\r\n") == std::string_view::npos &&
                        *headers.find("x") == *headers.find("Y"),
                    "a header's value is one line");
  return 0;
}
