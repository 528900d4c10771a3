#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <string>

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

// stall_files SOCKET PROGRAM [ARGUMENT...]: runs a program whose calls to the disk wait for the
// word of whoever listens at SOCKET (stalled_disk.hpp), in the kernel, as for a disk that does not
// answer. Exit code 125 where the kernel does not allow that.

namespace {

/// What only files are asked: no socket, pipe or event is.
constexpr std::array kCalls{
    SYS_fsync,      SYS_fdatasync, SYS_pread64,  SYS_pwrite64,  SYS_ftruncate, SYS_fallocate,
    SYS_openat,     SYS_unlinkat,  SYS_renameat, SYS_renameat2, SYS_mkdirat,   SYS_statfs,
    SYS_getdents64, SYS_linkat,
#ifdef SYS_open
    SYS_open,       SYS_unlink,    SYS_rename,   SYS_mkdir,     SYS_rmdir,     SYS_link,
#endif
};

/// The kernel asks a listener about each of them; all others pass. The listener, or -1.
int install() {
  std::array<sock_filter, kCalls.size() + 3> program{};
  program[0] = BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr));
  for (std::size_t i = 0; i < kCalls.size(); ++i) {
    const auto to_the_end = static_cast<unsigned char>(kCalls.size() - i);
    program[i + 1] =
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(kCalls[i]), to_the_end, 0);
  }
  program[kCalls.size() + 1] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  program[kCalls.size() + 2] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
  sock_fprog filter{};
  filter.len = static_cast<unsigned short>(program.size());
  filter.filter = program.data();
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
  return static_cast<int>(
      ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &filter));
}

bool hand_over(int socket, int listener) {
  char nothing = 0;
  iovec bytes{.iov_base = &nothing, .iov_len = 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof listener)> room{};
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  message.msg_control = room.data();
  message.msg_controllen = room.size();
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof listener);
  std::memcpy(CMSG_DATA(header), &listener, sizeof listener);
  return ::sendmsg(socket, &message, 0) == 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 125;
  const int socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = argv[1];
  if (path.size() >= sizeof address.sun_path) return 125;
  path.copy(address.sun_path, path.size());
  if (::connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return 125;
  const int listener = install();
  if (listener < 0 || !hand_over(socket, listener)) {
    std::perror("stall_files");
    return 125;
  }
  ::close(listener);
  ::execv(argv[2], argv + 2);
  return 127;
}
