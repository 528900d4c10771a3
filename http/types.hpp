#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pn::http {

enum class Method { get, head, post, put, patch, del };

/// "GET", "DELETE", ...
std::string_view name(Method method);
std::optional<Method> parse_method(std::string_view name);

/// Header fields in the order they came; names compare without case. A value never holds CR or LF
/// (checked by set and add: such a value is dropped to its first line's part).
class Headers {
 public:
  void set(std::string_view name, std::string_view value);
  void add(std::string_view name, std::string_view value);
  [[nodiscard]] std::optional<std::string_view> find(std::string_view name) const;
  [[nodiscard]] const std::vector<std::pair<std::string, std::string>>& all() const {
    return fields_;
  }

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

/// "application/json; charset=utf-8" is "application/json" in lower case.
std::string media_type(std::string_view content_type);

}  // namespace pn::http
