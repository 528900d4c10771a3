#pragma once

#include "base/result.hpp"
#include "base/time.hpp"

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace pn {

using Json = nlohmann::json;

/// Parses text from outside without throwing: UTF-8, at most 64 levels deep, nothing after the
/// value. Kind `corrupt` names the number of bytes, never the text (it may hold a secret).
Result<Json> parse_json(std::string_view text);

/// Compact; bytes that are no UTF-8 become U+FFFD.
std::string dump_json(const Json& value);

/// Reads one JSON object field by field and keeps the first fault, so that a codec is a list of
/// reads and one check. A field that is absent and one that is `null` mean the same; unknown fields
/// are ignored unless only() is called. Borrows the object.
class JsonFields {
 public:
  /// `where` is how faults name the object: "lease envelope", "task".
  JsonFields(const Json& object, std::string_view where);

  std::optional<std::string> string(std::string_view key);
  std::optional<std::int64_t> integer(std::string_view key);
  std::optional<double> number(std::string_view key);
  std::optional<bool> boolean(std::string_view key);
  std::optional<SystemTime> time(std::string_view key);
  std::optional<std::vector<std::string>> strings(std::string_view key);
  /// The object or array itself; null when absent.
  const Json* object(std::string_view key);
  const Json* array(std::string_view key);
  /// Any JSON as text ("{}", "[1]"); nothing when absent or null.
  std::optional<std::string> raw(std::string_view key);

  /// As above, but absence (or an empty string) is a fault; answers "" or 0 then.
  std::string need_string(std::string_view key);
  std::int64_t need_integer(std::string_view key);

  /// A fault naming each key that is not in `known`.
  void only(std::initializer_list<std::string_view> known);
  /// Adds a fault of the caller's own, for a value that is out of range.
  void fault(std::string_view key, std::string_view what);

  /// The first fault, kind `corrupt`, code "json_field".
  [[nodiscard]] Result<void> done() const;
  [[nodiscard]] std::optional<Error> error() const { return error_; }

 private:
  const Json* find(std::string_view key);

  const Json* object_;
  std::string where_;
  std::optional<Error> error_;
};

}  // namespace pn
