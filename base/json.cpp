#include "base/json.hpp"

#include "base/result.hpp"
#include "base/time.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace pn {
namespace {

constexpr int kMaxDepth = 64;

/// Refuses what is too deep while it is still text, so that no hostile body can exhaust the stack.
bool too_deep(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > kMaxDepth) return true;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return false;
}

}  // namespace

Result<Json> parse_json(std::string_view text) {
  if (too_deep(text))
    return Error(ErrorKind::corrupt, "json_depth", "JSON is nested more than 64 deep");
  Json value = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (value.is_discarded()) {
    return Error(ErrorKind::corrupt,
                 "json_syntax",
                 text.empty() ? "empty body where JSON was expected"
                              : "not JSON (" + std::to_string(text.size()) + " bytes)");
  }
  return value;
}

std::string dump_json(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

JsonFields::JsonFields(const Json& object, std::string_view where)
    : object_(&object), where_(where) {
  if (!object.is_object()) {
    error_.emplace(ErrorKind::corrupt, "json_field", where_ + " is not a JSON object");
  }
}

const Json* JsonFields::find(std::string_view key) {
  if (!object_->is_object()) return nullptr;
  const auto at = object_->find(key);
  if (at == object_->end() || at->is_null()) return nullptr;
  return &*at;
}

void JsonFields::fault(std::string_view key, std::string_view what) {
  if (error_) return;
  error_.emplace(ErrorKind::corrupt,
                 "json_field",
                 where_ + ": \"" + std::string(key) + "\" " + std::string(what));
}

std::optional<std::string> JsonFields::string(std::string_view key) {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) {
    fault(key, "is not a string");
    return std::nullopt;
  }
  return value->get<std::string>();
}

std::optional<std::int64_t> JsonFields::integer(std::string_view key) {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  const bool fits = value->is_number_integer() &&
                    !(value->is_number_unsigned() &&
                      value->get<std::uint64_t>() >
                          static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()));
  if (!fits) {
    fault(key, "is not a whole number");
    return std::nullopt;
  }
  return value->get<std::int64_t>();
}

std::optional<double> JsonFields::number(std::string_view key) {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number()) {
    fault(key, "is not a number");
    return std::nullopt;
  }
  return value->get<double>();
}

std::optional<bool> JsonFields::boolean(std::string_view key) {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) {
    fault(key, "is not true or false");
    return std::nullopt;
  }
  return value->get<bool>();
}

std::optional<SystemTime> JsonFields::time(std::string_view key) {
  const std::optional<std::string> text = string(key);
  if (!text) return std::nullopt;
  const Result<SystemTime> parsed = parse_rfc3339(*text);
  if (!parsed) {
    fault(key, "is not an RFC 3339 time");
    return std::nullopt;
  }
  return *parsed;
}

std::optional<std::vector<std::string>> JsonFields::strings(std::string_view key) {
  const Json* value = array(key);
  if (value == nullptr) return std::nullopt;
  std::vector<std::string> out;
  out.reserve(value->size());
  for (const Json& item : *value) {
    if (!item.is_string()) {
      fault(key, "holds something that is not a string");
      return std::nullopt;
    }
    out.push_back(item.get<std::string>());
  }
  return out;
}

const Json* JsonFields::object(std::string_view key) {
  const Json* value = find(key);
  if (value != nullptr && !value->is_object()) {
    fault(key, "is not an object");
    return nullptr;
  }
  return value;
}

const Json* JsonFields::array(std::string_view key) {
  const Json* value = find(key);
  if (value != nullptr && !value->is_array()) {
    fault(key, "is not a list");
    return nullptr;
  }
  return value;
}

std::optional<std::string> JsonFields::raw(std::string_view key) {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  return dump_json(*value);
}

std::string JsonFields::need_string(std::string_view key) {
  std::optional<std::string> value = string(key);
  if (!value || value->empty()) fault(key, "is missing");
  return std::move(value).value_or("");
}

std::int64_t JsonFields::need_integer(std::string_view key) {
  const std::optional<std::int64_t> value = integer(key);
  if (!value) fault(key, "is missing");
  return value.value_or(0);
}

void JsonFields::only(std::initializer_list<std::string_view> known) {
  if (!object_->is_object()) return;
  std::string unknown;
  for (const auto& item : object_->items()) {
    if (std::find(known.begin(), known.end(), item.key()) != known.end()) continue;
    unknown += unknown.empty() ? "" : ", ";
    unknown += item.key();
  }
  if (!unknown.empty() && !error_) {
    std::string allowed;
    for (const std::string_view key : known) {
      allowed += allowed.empty() ? "" : ", ";
      allowed += key;
    }
    error_.emplace(ErrorKind::corrupt,
                   "json_field",
                   where_ + ": unknown key " + unknown + " (known: " + allowed + ")");
  }
}

Result<void> JsonFields::done() const {
  if (error_) return *error_;
  return {};
}

}  // namespace pn
