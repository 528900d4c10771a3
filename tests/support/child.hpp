#pragma once

#include "base/file.hpp"

#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

namespace pn::testing {

/// What a program printed and how it ended.
struct ChildResult {
  int code = -1;  ///< its exit code, or 128 + the signal that ended it
  std::string out;
  std::string err;
};

/// A program started by a test: its output is read through pipes, and it does not outlive the test.
/// Its environment is exactly `environment`.
class Child final {
 public:
  Child(const std::vector<std::string>& arguments,
        const std::map<std::string, std::string>& environment) {
    std::array<int, 2> out{};
    std::array<int, 2> err{};
    if (::pipe2(out.data(), O_CLOEXEC) != 0 || ::pipe2(err.data(), O_CLOEXEC) != 0) return;
    std::vector<std::string> words = arguments;
    std::vector<std::string> settings;
    for (const auto& [name, value] : environment) settings.push_back(name + "=" + value);
    std::vector<char*> argv = pointers(words);
    std::vector<char*> envp = pointers(settings);
    pid_ = ::fork();
    if (pid_ == 0) {
      const int nothing = ::open("/dev/null", O_RDONLY);
      if (nothing < 0) ::_exit(127);
      ::dup2(nothing, STDIN_FILENO);
      ::dup2(out[1], STDOUT_FILENO);
      ::dup2(err[1], STDERR_FILENO);
      ::execve(argv[0], argv.data(), envp.data());
      ::_exit(127);
    }
    ::close(out[1]);
    ::close(err[1]);
    out_ = UniqueFd(out[0]);
    err_ = UniqueFd(err[0]);
  }
  ~Child() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  void signal(int number) const {
    if (pid_ > 0) ::kill(pid_, number);
  }
  [[nodiscard]] pid_t pid() const { return pid_; }
  /// What came so far.
  [[nodiscard]] const ChildResult& seen() const { return result_; }

  /// Reads until `text` stands in the standard output; false when it ended or `limit` passed first.
  bool wait_for(const std::string& text, std::chrono::seconds limit) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (result_.out.find(text) == std::string::npos) {
      if (!read_more(end)) return false;
    }
    return true;
  }

  /// Takes what has come by now.
  const ChildResult& look() {
    bool came = true;
    while (came && (out_ || err_)) {
      std::array<pollfd, 2> sources{{{out_.get(), POLLIN, 0}, {err_.get(), POLLIN, 0}}};
      came = ::poll(sources.data(), sources.size(), 0) > 0;
      if (sources[0].revents != 0) take(out_, result_.out);
      if (sources[1].revents != 0) take(err_, result_.err);
    }
    return result_;
  }

  /// Its end, or its death when `limit` passes first (code 137).
  ChildResult wait(std::chrono::seconds limit = std::chrono::seconds(30)) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (read_more(end)) {
    }
    if (std::chrono::steady_clock::now() >= end) signal(SIGKILL);
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    result_.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return result_;
  }

 private:
  static std::vector<char*> pointers(std::vector<std::string>& texts) {
    std::vector<char*> out;
    for (std::string& text : texts) out.push_back(text.data());
    out.push_back(nullptr);
    return out;
  }

  /// False at the end of both streams, or at `end`.
  bool read_more(std::chrono::steady_clock::time_point end) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now());
    if ((!out_ && !err_) || left.count() <= 0) return false;
    std::array<pollfd, 2> sources{{{out_.get(), POLLIN, 0}, {err_.get(), POLLIN, 0}}};
    if (::poll(sources.data(), sources.size(), static_cast<int>(left.count())) <= 0) return true;
    if (sources[0].revents != 0) take(out_, result_.out);
    if (sources[1].revents != 0) take(err_, result_.err);
    return true;
  }

  static void take(UniqueFd& from, std::string& into) {
    std::array<char, 16 * 1024> buffer{};
    const ssize_t got = ::read(from.get(), buffer.data(), buffer.size());
    if (got <= 0) {
      from.reset();
    } else {
      into.append(buffer.data(), static_cast<std::size_t>(got));
    }
  }

  pid_t pid_ = -1;
  UniqueFd out_;
  UniqueFd err_;
  ChildResult result_;
};

}  // namespace pn::testing
