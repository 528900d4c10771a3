#pragma once

#include <cerrno>
#include <exception>
#include <functional>
#include <iostream>

#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

namespace pn::testing {

/// What `work` of in_child() answers where this machine does not let it do what it is about.
inline constexpr int kNotHere = 77;

/// Runs `work` in a process of its own, because of what it does to its process: another user, other
/// mounts. Answers what it answers, 99 where it throws, -1 where it dies. Only while this process
/// has no other thread.
inline int in_child(const std::function<int()>& work) {
  const pid_t child = ::fork();
  if (child == 0) {
    int answer = 99;
    try {
      answer = work();
    } catch (const std::exception& failure) {
      std::cerr << failure.what() << "\n";
    }
    ::_exit(answer);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace pn::testing
