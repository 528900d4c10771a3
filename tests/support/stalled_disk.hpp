#pragma once

#include "base/file.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <linux/seccomp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

namespace pn::testing {

/// The disk of one process, which can be told not to answer: each of its threads that opens, reads,
/// writes, syncs or removes a file waits in that very system call, whichever thread it is, until
/// release() or the end of the process. The kernel's doing (seccomp), not the program's: it needs
/// neither root nor a file system of its own. Start the process with the words of command().
class StalledDisk final {
 public:
  /// `folder` is for a socket; `tool` is tests/support/stall_files.
  StalledDisk(const std::string& folder, std::string tool)
      : socket_(folder + "/disk"), tool_(std::move(tool)) {
    listening_ = UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (socket_.size() >= sizeof address.sun_path) throw std::runtime_error("too long a path");
    socket_.copy(address.sun_path, socket_.size());
    auto* const at = reinterpret_cast<sockaddr*>(&address);
    if (::bind(listening_.get(), at, sizeof address) != 0 || ::listen(listening_.get(), 1) != 0) {
      throw std::runtime_error("cannot listen at " + socket_);
    }
    thread_ = std::thread([this] { answer_all(); });
  }
  ~StalledDisk() {
    over_ = true;
    thread_.join();
  }
  StalledDisk(const StalledDisk&) = delete;
  StalledDisk& operator=(const StalledDisk&) = delete;

  /// Whether this machine lets a process be watched so.
  [[nodiscard]] static bool possible() {
    std::uint32_t action = SECCOMP_RET_USER_NOTIF;
    return ::syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
  }

  [[nodiscard]] std::vector<std::string> command(std::vector<std::string> words) const {
    words.insert(words.begin(), {tool_, socket_});
    return words;
  }

  void stall() { stalled_ = true; }
  void release() { stalled_ = false; }
  /// Threads that wait for the disk now.
  [[nodiscard]] std::size_t waiting() const { return waiting_; }

 private:
  void answer_all() {
    const UniqueFd listener = received();
    std::vector<std::uint64_t> held;
    while (!over_ && listener) {
      if (!stalled_) {
        for (const std::uint64_t id : held) go_on(listener.get(), id);
        held.clear();
      }
      waiting_ = held.size();
      pollfd source{.fd = listener.get(), .events = POLLIN, .revents = 0};
      if (::poll(&source, 1, 5) <= 0) continue;
      if ((source.revents & POLLIN) == 0) return;  // the process has gone
      seccomp_notif call{};
      if (::ioctl(listener.get(), SECCOMP_IOCTL_NOTIF_RECV, &call) != 0) continue;
      if (stalled_) {
        held.push_back(call.id);
      } else {
        go_on(listener.get(), call.id);
      }
    }
  }
  static void go_on(int listener, std::uint64_t id) {
    seccomp_notif_resp answer{};
    answer.id = id;
    answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    ::ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);  // fails for one who is gone
  }

  /// The process's listener, from stall_files.
  [[nodiscard]] UniqueFd received() const {
    pollfd source{.fd = listening_.get(), .events = POLLIN, .revents = 0};
    while (!over_ && ::poll(&source, 1, 5) <= 0) continue;
    if (over_) return {};
    const UniqueFd connection(::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    char nothing = 0;
    iovec bytes{.iov_base = &nothing, .iov_len = 1};
    int listener = -1;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof listener)> room{};
    msghdr message{};
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    message.msg_control = room.data();
    message.msg_controllen = room.size();
    if (::recvmsg(connection.get(), &message, MSG_CMSG_CLOEXEC) != 1) return {};
    const cmsghdr* const header = CMSG_FIRSTHDR(&message);
    if (header == nullptr || header->cmsg_type != SCM_RIGHTS) return {};
    std::memcpy(&listener, CMSG_DATA(header), sizeof listener);
    return UniqueFd(listener);
  }

  const std::string socket_;
  const std::string tool_;
  UniqueFd listening_;
  std::atomic<bool> stalled_{false};
  std::atomic<bool> over_{false};
  std::atomic<std::size_t> waiting_{0};
  std::thread thread_;
};

}  // namespace pn::testing
