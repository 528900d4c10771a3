#include "http/types.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace pn::http {
namespace {

constexpr std::array<std::pair<Method, std::string_view>, 6> kMethods{{{Method::get, "GET"},
                                                                       {Method::head, "HEAD"},
                                                                       {Method::post, "POST"},
                                                                       {Method::put, "PUT"},
                                                                       {Method::patch, "PATCH"},
                                                                       {Method::del, "DELETE"}}};

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool same_name(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, {}, lower, lower);
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::string first_line(std::string_view value) {
  constexpr std::string_view kBreaks("\r\n\0", 3);
  return std::string(trimmed(value.substr(0, value.find_first_of(kBreaks))));
}

}  // namespace

std::string_view name(Method method) {
  for (const auto& [known, text] : kMethods) {
    if (known == method) return text;
  }
  return "GET";
}

std::optional<Method> parse_method(std::string_view text) {
  for (const auto& [method, known] : kMethods) {
    if (known == text) return method;
  }
  return std::nullopt;
}

void Headers::set(std::string_view name, std::string_view value) {
  const auto first = std::ranges::find_if(
      fields_, [&](const auto& field) { return same_name(field.first, name); });
  if (first == fields_.end()) {
    add(name, value);
    return;
  }
  first->second = first_line(value);
  const auto rest = std::remove_if(
      first + 1, fields_.end(), [&](const auto& field) { return same_name(field.first, name); });
  fields_.erase(rest, fields_.end());
}

void Headers::add(std::string_view name, std::string_view value) {
  fields_.emplace_back(first_line(name), first_line(value));
}

std::optional<std::string_view> Headers::find(std::string_view name) const {
  for (const auto& [known, value] : fields_) {
    if (same_name(known, name)) return value;
  }
  return std::nullopt;
}

std::string media_type(std::string_view content_type) {
  std::string out(trimmed(content_type.substr(0, content_type.find(';'))));
  std::ranges::transform(out, out.begin(), lower);
  return out;
}

}  // namespace pn::http
