#include "bin/environment.hpp"

#include "base/file.hpp"
#include "base/result.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <unistd.h>

namespace pn::bin {
namespace {

constexpr std::uint64_t kFileLimit = 1024 * 1024;

bool blank(char c) { return c == ' ' || c == '\t' || c == '\v' || c == '\f'; }

/// What is wrong with a name; empty when nothing is.
std::string_view fault_of_name(std::string_view name) {
  if (name.empty()) return "no name before the =";
  if (std::any_of(name.begin(), name.end(), blank)) return "a blank in the name";
  const bool printable =
      std::all_of(name.begin(), name.end(), [](char c) { return c > 0x20 && c < 0x7F; });
  return printable ? "" : "a name that is not plain ASCII";
}

}  // namespace

Environment process_environment() {
  Environment out;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    out.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return out;
}

Result<Environment> parse_env_file(std::string_view text,
                                   std::string_view file,
                                   const Environment& environment) {
  Environment out;
  std::string faults;
  const auto fault = [&](std::size_t number, std::string_view what) {
    if (!faults.empty()) faults += "; ";
    faults += std::string(file) + ":" + std::to_string(number) + ": " + std::string(what);
  };
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);  // a byte order mark
  std::size_t number = 0;
  while (!text.empty()) {
    ++number;
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    while (!line.empty() && blank(line.front())) line.remove_prefix(1);
    if (line.empty() || line.front() == '#') continue;
    if (line.find('\0') != std::string_view::npos) {
      fault(number, "a NUL byte; this is no text file");
      continue;
    }
    const std::size_t equals = line.find('=');
    const std::string name(line.substr(0, equals));
    if (const std::string_view wrong = fault_of_name(name); !wrong.empty()) {
      fault(number, std::string(wrong) + "; a line is KEY=VALUE");
    } else if (equals != std::string_view::npos) {
      out[name] = line.substr(equals + 1);
    } else if (const auto known = environment.find(name); known != environment.end()) {
      out[name] = known->second;
    }
  }
  if (!faults.empty()) return Error(ErrorKind::rejected, "env_file", faults);
  return out;
}

Result<void> load_env_file(const std::filesystem::path& file, Environment& environment) {
  if (file.empty()) return {};
  const Result<std::string> text = read_file(file, kFileLimit);
  if (!text) return text.error();
  Result<Environment> read = parse_env_file(*text, file.string(), environment);
  if (!read) return std::move(read).error();
  environment.merge(*read);  // what is there already stays
  return {};
}

std::optional<std::string> value_of(const Environment& environment, const std::string& name) {
  const auto at = environment.find(name);
  if (at == environment.end() || at->second.empty()) return std::nullopt;
  return at->second;
}

}  // namespace pn::bin
