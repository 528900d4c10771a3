#pragma once

#include "base/ids.hpp"
#include "base/secret.hpp"
#include "http/server.hpp"
#include "http/url.hpp"
#include "node/config.hpp"
#include "node/settings.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pn::node {

/// Reads settings by their row of the table and gathers what is wrong with them. Names that have no
/// row are a std::logic_error.
class SettingReader {
 public:
  /// `environment` outlives the reader.
  explicit SettingReader(const Environment& environment) : environment_(environment) {}

  std::vector<std::string> faults;
  std::vector<std::string> doubts;
  std::vector<SecretOrigin> secrets;  ///< where each one read was found

  /// The value as given; nothing when absent or empty.
  [[nodiscard]] std::optional<std::string> given(std::string_view name) const;

  // What was given, or the row's literal default. Nothing when there is neither, or after a fault.
  std::optional<std::string> text(std::string_view name);
  std::optional<std::int64_t> whole(std::string_view name);
  std::optional<double> decimal(std::string_view name);
  bool flag(std::string_view name);
  /// Which of the row's choices it is; 0 after a fault.
  std::size_t choice(std::string_view name);
  std::optional<http::Url> url(std::string_view name);
  std::optional<http::ListenAddress> address(std::string_view name);
  std::vector<Capability> capabilities(std::string_view name);
  /// "/a/v1=1,/b/v1=2"
  std::map<Capability, std::size_t> caps(std::string_view name);
  /// A required secret: the setting itself, or the file that `<name>_FILE` names, or the systemd
  /// credential of that name in lower case; two of them are a fault that names both.
  std::optional<Secret<std::string>> secret(std::string_view name);

  void wrong(const Setting& row, std::string_view value);
  static const Setting& row_of(std::string_view name);

 private:
  std::optional<Secret<std::string>> secret_of_file(const std::string& path,
                                                    const std::string& shown_as);

  const Environment& environment_;
};

/// Why a file that holds a secret is not as closed as it should be; empty when it is. Blocks.
std::string too_open(const std::filesystem::path& file);

/// ASCII lower case.
std::string lower_case(std::string_view text);

}  // namespace pn::node
