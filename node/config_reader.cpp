#include "node/config_reader.hpp"

#include "base/file.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"
#include "http/server.hpp"
#include "http/url.hpp"
#include "node/config.hpp"
#include "node/settings.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace pn::node {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t kSecretFileLimit = 64 * 1024;
constexpr std::size_t kLargestCap = 256;

template <class N>
std::optional<N> parse_number(std::string_view text) {
  N value{};
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool is_capability(std::string_view text) {
  return text.size() > 1 && text.front() == '/' &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

/// The items of a comma list, without blanks around them; empty ones are left out.
std::vector<std::string_view> items_of(std::string_view list) {
  std::vector<std::string_view> out;
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    const std::string_view item = trim(list.substr(0, comma));
    list.remove_prefix(comma == std::string_view::npos ? list.size() : comma + 1);
    if (!item.empty()) out.push_back(item);
  }
  return out;
}

std::string what_it_must_be(const Setting& row) {
  return row.kind == SettingKind::text ? "not empty" : allowed(row);
}

/// "NAME=value", or "NAME" alone when the value is secret; what stands before an @ mostly is.
std::string shown(const Setting& row, std::string_view value) {
  if (row.secret || value.find('@') != std::string_view::npos) return std::string(row.name);
  return std::string(row.name) + "=" + std::string(value.substr(0, 200));
}

}  // namespace

std::string lower_case(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

std::optional<std::string> SettingReader::given(std::string_view name) const {
  const auto at = environment_.find(std::string(name));
  if (at == environment_.end() || at->second.empty()) return std::nullopt;
  return at->second;
}

std::optional<std::string> SettingReader::text(std::string_view name) {
  const Setting& row = row_of(name);
  std::optional<std::string> value = given(name);
  if (!value && row.has == DefaultKind::literal) value = std::string(row.fallback);
  return value;
}

std::optional<std::int64_t> SettingReader::whole(std::string_view name) {
  const std::optional<std::string> value = text(name);
  if (!value) return std::nullopt;
  const Setting& row = row_of(name);
  const std::optional<std::int64_t> number = parse_number<std::int64_t>(*value);
  if (!number || static_cast<double>(*number) < row.low ||
      static_cast<double>(*number) > row.high) {
    wrong(row, *value);
    return std::nullopt;
  }
  return number;
}

std::optional<double> SettingReader::decimal(std::string_view name) {
  const std::optional<std::string> value = text(name);
  if (!value) return std::nullopt;
  const Setting& row = row_of(name);
  const std::optional<double> number = parse_number<double>(*value);
  const bool fits = number && std::isfinite(*number) &&
                    (row.kind == SettingKind::ratio ? *number > 0 && *number < 1
                                                    : *number >= row.low && *number <= row.high);
  if (!fits) {
    wrong(row, *value);
    return std::nullopt;
  }
  return number;
}

bool SettingReader::flag(std::string_view name) {
  const std::string value = lower_case(text(name).value_or("false"));
  if (value == "true" || value == "1") return true;
  if (value != "false" && value != "0") wrong(row_of(name), *text(name));
  return false;
}

std::size_t SettingReader::choice(std::string_view name) {
  const Setting& row = row_of(name);
  const std::string value = lower_case(*text(name));
  std::string_view rest = row.choices;
  for (std::size_t index = 0;; ++index) {
    const std::size_t bar = rest.find('|');
    if (rest.substr(0, bar) == value) return index;
    if (bar == std::string_view::npos) break;
    rest.remove_prefix(bar + 1);
  }
  wrong(row, *text(name));
  return 0;
}

std::optional<http::Url> SettingReader::url(std::string_view name) {
  const std::string value = *text(name);
  Result<http::Url> parsed = http::Url::parse(value);
  if (!parsed) {
    wrong(row_of(name), value);
    return std::nullopt;
  }
  return *std::move(parsed);
}

std::optional<http::ListenAddress> SettingReader::address(std::string_view name) {
  const std::string value = *text(name);
  Result<http::ListenAddress> parsed = http::parse_listen_address(value);
  if (!parsed) {
    wrong(row_of(name), value);
    return std::nullopt;
  }
  return *std::move(parsed);
}

std::vector<Capability> SettingReader::capabilities(std::string_view name) {
  std::vector<Capability> out;
  const std::string value = text(name).value_or("");
  for (const std::string_view item : items_of(value)) {
    if (!is_capability(item)) {
      wrong(row_of(name), value);
      return {};
    }
    out.emplace_back(std::string(item));
  }
  return out;
}

std::map<Capability, std::size_t> SettingReader::caps(std::string_view name) {
  std::map<Capability, std::size_t> out;
  const std::string value = text(name).value_or("");
  for (const std::string_view item : items_of(value)) {
    const std::size_t equals = item.rfind('=');
    const std::string_view capability = trim(item.substr(0, equals));
    const std::optional<std::size_t> cap =
        equals == std::string_view::npos ? std::nullopt
                                         : parse_number<std::size_t>(trim(item.substr(equals + 1)));
    if (!is_capability(capability) || !cap || *cap < 1 || *cap > kLargestCap) {
      wrong(row_of(name), value);
      return {};
    }
    out[Capability(std::string(capability))] = *cap;
  }
  return out;
}

std::optional<Secret<std::string>> SettingReader::secret(std::string_view name) {
  const std::string in_file = std::string(name) + "_FILE";
  const std::string credential = lower_case(name);
  const std::optional<std::string> direct = given(name);
  const std::optional<std::string> file = given(in_file);
  // systemd.exec(5), "Credentials": a folder of files that only this service can read.
  const std::optional<std::string> folder = given("CREDENTIALS_DIRECTORY");
  const fs::path held = folder ? fs::path(*folder) / credential : fs::path();
  std::error_code ignored;
  const bool has_credential = folder && fs::exists(held, ignored);

  std::vector<std::string> found;
  if (direct) found.emplace_back(name);
  if (file) found.push_back(in_file);
  if (has_credential) found.push_back("the credential " + credential + " (" + held.string() + ")");
  if (found.size() > 1) {
    std::string all = found.front();
    for (std::size_t i = 1; i < found.size(); ++i) all += " and " + found[i];
    faults.push_back(all + ": only one of them may be set");
    return std::nullopt;
  }
  if (found.empty()) {
    faults.push_back(std::string(name) + " is not set: it is required (or " + in_file +
                     ", or a systemd credential " + credential + "), and must be " +
                     what_it_must_be(row_of(name)));
    return std::nullopt;
  }
  if (direct) {
    secrets.push_back({.name = std::string(name), .where = std::string(name)});
    return Secret<std::string>(*direct);
  }
  const std::string shown_as = file ? in_file + "=" + *file : found.front();
  std::optional<Secret<std::string>> value = secret_of_file(file ? *file : held.string(), shown_as);
  if (value) secrets.push_back({.name = std::string(name), .where = shown_as});
  return value;
}

std::optional<Secret<std::string>> SettingReader::secret_of_file(const std::string& path,
                                                                 const std::string& shown_as) {
  Result<std::string> bytes = read_file(path, kSecretFileLimit);
  if (!bytes && path.find('/') == std::string::npos) {
    // A name without a folder is most often the secret itself, set under the wrong name.
    const std::string setting = shown_as.substr(0, shown_as.find('='));
    faults.push_back(setting + ": there is no such file; a secret itself goes into " +
                     setting.substr(0, setting.rfind("_FILE")));
    return std::nullopt;
  }
  if (!bytes) {
    faults.push_back(shown_as + ": " + bytes.error().detail);
    return std::nullopt;
  }
  std::string value = *std::move(bytes);
  while (value.ends_with('\n') || value.ends_with('\r')) value.pop_back();
  if (value.empty()) {
    faults.push_back(shown_as + ": the file is empty");
    return std::nullopt;
  }
  const std::string open = too_open(path);
  if (!open.empty()) doubts.push_back(shown_as + ": " + open);
  return Secret<std::string>(std::move(value));
}

std::string too_open(const fs::path& file) {
  constexpr auto kOthers = fs::perms::others_read | fs::perms::others_write;
  std::error_code failed;
  const fs::perms mode = fs::status(file, failed).permissions();
  if (failed || (mode & kOthers) == fs::perms::none) return "";
  return "every user of this machine can read or write it; chmod 600 closes it";
}

void SettingReader::wrong(const Setting& row, std::string_view value) {
  faults.push_back(shown(row, value) + ": must be " + what_it_must_be(row));
}

const Setting& SettingReader::row_of(std::string_view name) {
  const Setting* row = find_setting(name);
  if (row == nullptr) throw std::logic_error("no such setting: " + std::string(name));
  return *row;
}

}  // namespace pn::node
