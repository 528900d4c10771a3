#include "http/unix_socket.hpp"

#include "base/file.hpp"
#include "base/result.hpp"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>
#include <utility>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace pn::http {
namespace {

constexpr std::size_t kLongest = sizeof(sockaddr_un::sun_path) - 1;

}  // namespace

Result<UnixPath> UnixPath::of(const std::filesystem::path& path) {
  if (path.native().size() <= kLongest) return UnixPath(path.string(), UniqueFd());
  const std::filesystem::path folder = path.parent_path();
  UniqueFd fd(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return from_errno(errno, "cannot open " + folder.string());
  std::string text = "/proc/self/fd/" + std::to_string(fd.get()) + "/" + path.filename().string();
  if (text.size() > kLongest) {
    return Error(ErrorKind::rejected,
                 "socket_path",
                 "the name of the socket " + path.filename().string() + " is too long");
  }
  return UnixPath(std::move(text), std::move(fd));
}

Result<UniqueFd> listen_unix(const std::filesystem::path& path) {
  Result<UnixPath> near = UnixPath::of(path);
  if (!near) return std::move(near).error();
  const std::string where = "cannot listen at " + path.string();
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return from_errno(errno, where);
  // Before bind(), so that there is no moment at which others could connect.
  if (::fchmod(fd.get(), 0600) != 0) return from_errno(errno, where);
  if (::unlink(near->str().c_str()) != 0 && errno != ENOENT) return from_errno(errno, where);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, near->str().c_str(), near->str().size() + 1);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return from_errno(errno, where);
  }
  if (::listen(fd.get(), 16) != 0) return from_errno(errno, where);
  return fd;
}

bool same_user_or_root(int socket) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  return peer.uid == ::geteuid() || peer.uid == 0;
}

}  // namespace pn::http
