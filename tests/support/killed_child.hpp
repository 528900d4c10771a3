#pragma once

#include <cerrno>
#include <csignal>
#include <functional>

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

namespace pn::testing {

/// How a piece of work in a process of its own ended.
struct Killed {
  bool possible = true;  ///< false: this machine lets nobody trace
  bool finished = false;
  int code = -1;  ///< what the work answered, once finished
  int calls = 0;  ///< system calls that it had made
};

/// Runs `work` in a child that dies, as by kill -9, at its `last`th system call: before that call
/// does anything. So every state that it leaves on a disk can be had, one after the other. Only
/// while this process has no other thread.
inline Killed run_until_call(int last, const std::function<int()>& work) {
  Killed out;
  const pid_t child = ::fork();
  if (child == 0) {
    if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(127);
    ::raise(SIGSTOP);
    ::_exit(work());
  }
  int status = 0;
  const auto wait = [&] {
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
  };
  wait();
  if (!WIFSTOPPED(status)) return {.possible = false};
  ::ptrace(PTRACE_SETOPTIONS, child, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
  int stops = 0;  // two a call: at its beginning and at its end
  int signal = 0;
  for (;;) {
    ::ptrace(PTRACE_SYSCALL, child, nullptr, signal);
    wait();
    if (!WIFSTOPPED(status)) {
      out.finished = WIFEXITED(status);
      out.code = out.finished ? WEXITSTATUS(status) : -1;
      return out;
    }
    const bool call = WSTOPSIG(status) == (SIGTRAP | 0x80);
    signal = call ? 0 : WSTOPSIG(status);
    if (!call || ++stops % 2 == 0) continue;
    out.calls = stops / 2;
    if (out.calls < last) continue;
    ::kill(child, SIGKILL);
    wait();
    return out;
  }
}

}  // namespace pn::testing
