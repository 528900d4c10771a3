#include "http/multipart.hpp"

#include "base/result.hpp"
#include "http/part_header.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <string.h>  // NOLINT(modernize-deprecated-headers): memmem

namespace pn::http {
namespace {

constexpr std::size_t kHeaderLimit = 16 * 1024;
constexpr std::size_t kBoundaryLimit = 70;          // RFC 2046 5.1.1
constexpr std::size_t kPaddingLimit = 16;           // blanks after a delimiter, before its line end
constexpr std::uint64_t kOutsideLimit = 64 * 1024;  // before the first part, and after the last

enum class Match { no, more, delimiter, last };

Error corrupt(std::string_view code, std::string_view what) {
  return {ErrorKind::corrupt, std::string(code), std::string(what)};
}

/// What `text` begins with: "\n--B" or "\r\n--B", then "--", or blanks and a line end. `more`: too
/// short to tell. Text that goes on after the boundary ("--Bx") is payload. Takes a delimiter that
/// is told off the front of `text`.
Match take_delimiter(std::string_view& text, std::string_view dashed) {
  std::string_view rest = text;
  if (rest.starts_with('\r')) rest.remove_prefix(1);
  if (rest.empty()) return Match::more;
  if (rest.front() != '\n') return Match::no;
  rest.remove_prefix(1);
  const std::size_t common = std::min(rest.size(), dashed.size());
  if (rest.substr(0, common) != dashed.substr(0, common)) return Match::no;
  if (common < dashed.size()) return Match::more;
  rest.remove_prefix(common);
  if (rest.starts_with("--")) {
    text = rest.substr(2);
    return Match::last;
  }
  if (rest == "-") return Match::more;
  const std::size_t blanks = std::min(rest.find_first_not_of(" \t"), rest.size());
  if (blanks > kPaddingLimit) return Match::no;
  rest.remove_prefix(blanks);
  if (rest.empty() || rest == "\r") return Match::more;
  if (rest.starts_with('\r')) rest.remove_prefix(1);
  if (!rest.starts_with('\n')) return Match::no;
  text = rest.substr(1);
  return Match::delimiter;
}

Match match_delimiter(std::string_view text, std::string_view dashed) {
  return take_delimiter(text, dashed);
}

}  // namespace

/// preamble -> [delimiter] header -> payload -> delimiter (by_size) -> header | ended
///
/// Invariants: `carry` is empty, or begins like a delimiter and cannot be told from one yet;
/// `input` is what is left of the last feed and comes after `carry`.
struct MultipartReader::Impl {
  enum class State { preamble, header, payload, delimiter, ended, failed };

  Impl(std::string_view boundary, Delimit how)
      : dashed("--" + std::string(boundary)), delimit(how) {
    needle = "\n" + dashed;
  }

  std::string dashed;  // "--B"
  std::string needle;  // "\n--B"
  Delimit delimit;
  State state = State::preamble;
  std::string carry{"\n"};  // the body's first line counts as one after a line end
  std::string given;        // carried bytes that turned out to be payload, lent to the caller
  std::string_view input;
  std::uint64_t fed = 0;  // bytes of the body, with `input`
  std::string block;      // of the header
  PartHeader header;
  std::uint64_t payload_offset = 0;
  std::uint64_t after_end = 0;  // bytes that nobody reads
  std::uint64_t left = 0;       // of the payload, by size
  bool writes_crlf = false;     // the part's header does, so its payload is followed by CRLF too
  bool began_crlf = false;      // the delimiter that was told last did
  std::optional<Error> failure;

  Result<Event> fail(Error error) {
    state = State::failed;
    failure = error;
    return error;
  }

  [[nodiscard]] Event data(std::string_view bytes) const {
    return {.what = What::data, .data = bytes};
  }

  std::string_view take(std::size_t count) {
    const std::string_view out = input.substr(0, count);
    input.remove_prefix(out.size());
    return out;
  }

  /// Reads on until `carry`, or what `input` begins with, is told. `more`: the input ended first.
  Match decide() {
    if (carry.empty()) {  // most lie in one piece whole, and need not be carried
      const bool crlf = input.starts_with('\r');
      const Match whole = take_delimiter(input, dashed);
      if (whole == Match::delimiter || whole == Match::last) {
        began_crlf = crlf;
        return whole;
      }
      carry = take(1);
    }
    Match match = match_delimiter(carry, dashed);
    while (match == Match::more && !input.empty()) {
      carry += input.front();
      input.remove_prefix(1);
      match = match_delimiter(carry, dashed);
    }
    began_crlf = carry.starts_with('\r');
    return match;
  }

  /// Moves what cannot begin a delimiter from the front of `carry` to `given`.
  void give_up_front() {
    std::size_t at = 1;
    while (at < carry.size() &&
           match_delimiter(std::string_view(carry).substr(at), dashed) == Match::no) {
      ++at;
    }
    given.assign(carry, 0, at);
    carry.erase(0, at);
  }

  /// Where in `input` the next delimiter may begin; its size when nowhere.
  [[nodiscard]] std::size_t candidate() const {
    const void* const hit = ::memmem(input.data(), input.size(), needle.data(), needle.size());
    if (hit != nullptr) {
      auto at = static_cast<std::size_t>(static_cast<const char*>(hit) - input.data());
      if (at > 0 && input[at - 1] == '\r') --at;
      return at;
    }
    std::size_t at = input.size() - std::min(input.size(), needle.size() + 1);
    while (at < input.size() && match_delimiter(input.substr(at), dashed) == Match::no) ++at;
    return at;
  }

  Event delimited(Match match, bool in_part) {
    carry.clear();
    block.clear();
    state = match == Match::last ? State::ended : State::header;
    return {.what = in_part ? What::part_end : What::need_input, .data = {}};
  }

  /// By boundary, and the preamble, whose bytes nobody sees.
  Result<std::optional<Event>> search(bool in_part) {
    if (carry.empty()) {
      const std::size_t at = candidate();
      const std::string_view before = take(at);
      if (!before.empty() && in_part) return std::optional(data(before));
      if (input.empty()) return std::optional(Event{});
    }
    const Match match = decide();
    if (match == Match::more) return std::optional(Event{});
    if (match != Match::no) {
      const Event event = delimited(match, in_part);
      if (in_part) return std::optional(event);
      return std::optional<Event>();
    }
    give_up_front();
    if (in_part) return std::optional(data(given));
    return std::optional<Event>();
  }

  Result<std::optional<Event>> read_header() {
    for (;;) {
      const std::size_t end = input.find('\n');
      const std::string_view piece = take(end == std::string_view::npos ? input.size() : end + 1);
      if (block.size() + piece.size() > kHeaderLimit) {
        return corrupt("multipart_header_limit", "a part's header holds more than 16 KiB");
      }
      block.append(piece);
      if (end == std::string_view::npos) return std::optional(Event{});
      if (block == "\n" || block == "\r\n" || block.ends_with("\n\n") ||
          block.ends_with("\n\r\n")) {
        break;
      }
    }
    writes_crlf = block.ends_with("\r\n");
    Result<PartHeader> parsed = parse_part_header(block);
    if (!parsed) return std::move(parsed).error();
    header = std::move(*parsed);
    payload_offset = fed - input.size();
    state = State::payload;
    if (delimit == Delimit::by_size) {
      const auto size = header.size();
      if (!size) return size.error();
      if (!*size) return corrupt("multipart_size_missing", "a part does not say its size");
      left = **size;
    }
    return std::optional(Event{.what = What::part, .data = {}});
  }

  Result<std::optional<Event>> sized_payload() {
    if (left == 0) {
      state = State::delimiter;
      return std::optional<Event>();
    }
    const std::string_view bytes =
        take(static_cast<std::size_t>(std::min<std::uint64_t>(left, input.size())));
    if (bytes.empty()) return std::optional(Event{});
    left -= bytes.size();
    return std::optional(data(bytes));
  }

  Result<std::optional<Event>> sized_delimiter() {
    const Match match = decide();
    if (match == Match::more) return std::optional(Event{});
    if (match == Match::no) {
      return corrupt("multipart_size", "a part is longer than its size says");
    }
    if (writes_crlf && !began_crlf) {  // the size is one too large and took the CR
      return corrupt("multipart_size", "a part is shorter than its size says");
    }
    return std::optional(delimited(match, true));
  }

  /// Nothing: the state changed, look again.
  Result<std::optional<Event>> step() {
    switch (state) {
      case State::preamble:
        if (fed - input.size() > kOutsideLimit) {
          return corrupt("multipart_preamble", "the body does not begin with a part");
        }
        return search(false);
      case State::header:
        return read_header();
      case State::payload:
        return delimit == Delimit::by_size ? sized_payload() : search(true);
      case State::delimiter:
        return sized_delimiter();
      case State::ended:
        after_end += input.size();
        input = {};
        if (after_end > kOutsideLimit) {
          return corrupt("multipart_epilogue", "the body goes on behind its last part");
        }
        return std::optional(Event{.what = What::end, .data = {}});
      case State::failed:
        break;
    }
    return *failure;
  }
};

MultipartReader::MultipartReader(const std::string& boundary, Delimit delimit)
    : impl_(std::make_unique<Impl>(boundary, delimit)) {}
MultipartReader::~MultipartReader() = default;
MultipartReader::MultipartReader(MultipartReader&&) noexcept = default;
MultipartReader& MultipartReader::operator=(MultipartReader&&) noexcept = default;

Result<std::string> MultipartReader::boundary_of(std::string_view content_type) {
  const HeaderParameters parsed = parse_parameters(content_type);
  if (!parsed.value.starts_with("multipart/")) {
    return corrupt("multipart_type", "the content type is not multipart/form-data");
  }
  const auto at = parsed.parameters.find("boundary");
  if (at == parsed.parameters.end() || at->second.empty() || at->second.size() > kBoundaryLimit) {
    return corrupt("multipart_boundary", "the content type has no boundary of 1 to 70 characters");
  }
  if (at->second.find_first_of("\r\n") != std::string::npos) {
    return corrupt("multipart_boundary", "the boundary has a line end in it");
  }
  return at->second;
}

void MultipartReader::feed(std::string_view bytes) {
  impl_->input = bytes;
  impl_->fed += bytes.size();
}

Result<MultipartReader::Event> MultipartReader::next() {
  for (;;) {
    Result<std::optional<Event>> event = impl_->step();
    if (!event) return impl_->fail(std::move(event).error());
    if (*event) return **event;
  }
}

Result<void> MultipartReader::finish() const {
  if (impl_->state == Impl::State::ended) return {};
  if (impl_->failure) return *impl_->failure;
  return corrupt("multipart_truncated", "the body ends before its closing delimiter");
}

const PartHeader& MultipartReader::part() const { return impl_->header; }

std::uint64_t MultipartReader::payload_offset() const { return impl_->payload_offset; }

}  // namespace pn::http
