#include "storage/archive_names.hpp"

#include "base/result.hpp"
#include "storage/archive_error.hpp"

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string_view>

#include <locale.h>

namespace pn::storage {
namespace {

/// Leaves room below PATH_MAX for the folder that it goes into.
constexpr std::size_t kNameLimit = 2048;
constexpr std::size_t kStepLimit = 255;  // NAME_MAX of every file system that we may meet

Error refused(std::string_view name, std::string_view why) {
  return archive_refused("path", name, why);
}

}  // namespace

Result<std::filesystem::path> archive_path(std::string_view name, std::size_t max_depth) {
  if (name.empty()) return refused("?", "it has no readable name");
  if (name.starts_with('/')) return refused(name, "absolute paths are not accepted");
  if (name.find('\\') != std::string_view::npos) {
    return refused(name, "backslashes are not accepted; use \"/\" between folders");
  }
  if (name.size() > kNameLimit) return refused(name, "its name is longer than 2048 bytes");
  std::filesystem::path out;
  std::size_t depth = 0;
  std::string_view rest = name;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('/'), rest.size());
    const std::string_view step = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (step.empty() || step == ".") continue;
    if (step == "..") return refused(name, "\"..\" would leave the folder");
    if (step.size() > kStepLimit) return refused(name, "a part of its name is over 255 bytes");
    if (++depth > max_depth) return refused(name, "its folders are nested too deep");
    out /= step;
  }
  return out;
}

Utf8Names::Utf8Names() {
  // Read from the disk once: 300 KiB. Null where the system has none.
  static const locale_t utf8 = ::newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
  if (utf8 != nullptr) before_ = ::uselocale(utf8);
}

Utf8Names::~Utf8Names() {
  if (before_ != nullptr) ::uselocale(before_);
}

}  // namespace pn::storage
