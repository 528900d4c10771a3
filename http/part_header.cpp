#include "http/part_header.hpp"

#include "base/encoding.hpp"
#include "base/result.hpp"
#include "http/multipart.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pn::http {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string lowered(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), lower);
  return out;
}

bool is_blank(char c) { return c == ' ' || c == '\t'; }

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

/// Takes a quoted string off the front of `text`, which begins with its quote.
std::string take_quoted(std::string_view& text) {
  text.remove_prefix(1);
  std::string out;
  for (;;) {
    const std::size_t plain = std::min(text.find_first_of("\"\\"), text.size());
    out += text.substr(0, plain);
    text.remove_prefix(plain);
    if (text.empty()) return out;
    const bool over = text.front() == '"';
    text.remove_prefix(over || text.size() > 1 ? 1 : 0);
    if (over) return out;
    out += text.front();  // what was escaped, or a backslash at the very end
    text.remove_prefix(1);
  }
}

/// The next line without its end; takes it off the front.
std::string_view take_line(std::string_view& text) {
  const std::size_t end = text.find('\n');
  std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

}  // namespace

HeaderParameters parse_parameters(std::string_view text) {
  HeaderParameters out;
  const std::size_t first = std::min(text.find(';'), text.size());
  out.value = lowered(trimmed(text.substr(0, first)));
  text.remove_prefix(first);
  while (!text.empty()) {
    text.remove_prefix(1);  // the ";"
    const std::size_t stop = std::min(text.find_first_of(";="), text.size());
    std::string name = lowered(trimmed(text.substr(0, stop)));
    text.remove_prefix(stop);
    if (text.empty() || text.front() == ';') continue;  // a name without a value says nothing
    text.remove_prefix(1);                              // the "="
    while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
    std::string value;
    if (text.starts_with('"')) {
      value = take_quoted(text);
      text.remove_prefix(std::min(text.find(';'), text.size()));
    } else {
      const std::size_t end = std::min(text.find(';'), text.size());
      value = trimmed(text.substr(0, end));
      text.remove_prefix(end);
    }
    if (!name.empty() && name.back() != '*') {
      out.parameters.emplace(std::move(name), std::move(value));
    }
  }
  return out;
}

Result<PartHeader> parse_part_header(std::string_view block) {
  PartHeader out;
  const auto keep = [&out](std::string_view field) {
    const std::size_t colon = field.find(':');
    if (colon == std::string_view::npos || colon == 0) return false;
    const std::string name = lowered(trimmed(field.substr(0, colon)));
    const std::string_view value = trimmed(field.substr(colon + 1));
    if (name == "content-type") out.content_type = value;
    if (name == "content-digest") out.content_digest = value;
    if (name == "content-disposition") out.disposition = parse_parameters(value).parameters;
    return true;
  };
  while (!block.empty()) {
    const std::string_view line = take_line(block);
    if (line.empty()) continue;
    std::string folded;  // the whole field, where it goes on in the next line
    while (!block.empty() && is_blank(block.front())) {
      if (folded.empty()) folded = line;
      folded += ' ';
      folded += trimmed(take_line(block));
    }
    if (!keep(folded.empty() ? line : std::string_view(folded))) {
      return Error(
          ErrorKind::corrupt, "multipart_header", "a part's header has a line that is no field");
    }
  }
  return out;
}

std::string PartHeader::get(std::string_view key) const {
  const auto at = disposition.find(key);
  return at == disposition.end() ? std::string() : at->second;
}

Result<std::optional<std::uint64_t>> PartHeader::size() const {
  const auto at = disposition.find("size");
  if (at == disposition.end()) return std::optional<std::uint64_t>();
  const std::optional<std::uint64_t> size = from_decimal(at->second);
  if (!size) {
    return Error(ErrorKind::corrupt, "multipart_size", "a part's size is no number of bytes");
  }
  return size;
}

std::string part_head(std::string_view boundary,
                      std::string_view content_type,
                      const std::vector<std::pair<std::string, std::string>>& disposition,
                      std::string_view content_digest) {
  std::string out("--");
  out.append(boundary).append("\r\nContent-Type: ").append(content_type);
  out.append("\r\nContent-Disposition: form-data");
  for (const auto& [key, value] : disposition) {
    out.append("; ").append(key).append("=\"");
    for (const char c : value) {
      if (c == '\r' || c == '\n' || c == '\0') continue;
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
    out += '"';
  }
  if (!content_digest.empty()) out.append("\r\nContent-Digest: ").append(content_digest);
  out.append("\r\n\r\n");
  return out;
}

std::string closing_delimiter(std::string_view boundary) {
  return "--" + std::string(boundary) + "--\r\n";
}

}  // namespace pn::http
