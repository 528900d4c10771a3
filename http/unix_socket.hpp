#pragma once

#include "base/file.hpp"
#include "base/result.hpp"

#include <filesystem>
#include <string>
#include <utility>

namespace pn::http {

/// A socket's path in a form that fits sockaddr_un (107 bytes): a longer one is reached by way of
/// its folder's descriptor, so it is good while this object lives. Linux only.
class UnixPath final {
 public:
  /// Errors are the file system's, of the folder; kind `rejected`, code "socket_path", for a name
  /// that is too long by itself.
  static Result<UnixPath> of(const std::filesystem::path& path);

  [[nodiscard]] const std::string& str() const { return text_; }

 private:
  UnixPath(std::string text, UniqueFd folder)
      : text_(std::move(text)), folder_(std::move(folder)) {}

  std::string text_;
  UniqueFd folder_;
};

/// Listens at `path`, for its owner alone (mode 0600). What is there already goes: the caller knows
/// that nobody listens (a lock beside it), so it is what a killed process left.
Result<UniqueFd> listen_unix(const std::filesystem::path& path);

/// Whether who connected is this process's user, or root.
bool same_user_or_root(int socket);

}  // namespace pn::http
