#include "runners/process_spawn.hpp"

#include "base/file.hpp"
#include "base/result.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <linux/prctl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

namespace pn::runners {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kUsualPath = "/usr/local/bin:/usr/bin:/bin";

Error spawn_error(std::string_view what) {
  Error error = from_errno(errno, what);
  error.code = "spawn_failed";
  return error;
}

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

Result<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return spawn_error("cannot make a pipe");
  return Pipe{.read = UniqueFd(ends[0]), .write = UniqueFd(ends[1])};
}

/// Pointers to strings that outlive it, ended by a null, as execve wants them.
std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> out;
  out.reserve(strings.size() + 1);
  for (std::string& text : strings) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

// --- Between fork and exec: only what POSIX calls async-signal-safe, no allocation. -------------

struct ChildPlan {
  const char* program;
  char* const* arguments;
  char* const* environment;
  const char* folder;
  std::array<int, 4>
      kept;  ///< null, output, report, lifeline: the only descriptors the watcher has
};

struct Record {
  enum Kind : int { exec_error, wait_status };
  int kind;
  int value;
};

void send(int fd, Record record) {
  // Far below PIPE_BUF, so whole or not at all; nobody to tell when it fails.
  const ssize_t ignored = ::write(fd, &record, sizeof record);
  static_cast<void>(ignored);
}

void close_between(unsigned first, unsigned last) {
  if (first > last) return;
  if (::syscall(SYS_close_range, first, last, 0U) == 0) return;
  const long limit = ::sysconf(_SC_OPEN_MAX);
  for (unsigned fd = first; fd <= last && fd < static_cast<unsigned>(limit); ++fd) {
    ::close(static_cast<int>(fd));
  }
}

/// A watcher lives as long as its task: it must not hold our sockets and files open.
void close_all_but(std::array<int, 4> kept) {
  std::sort(kept.begin(), kept.end());
  unsigned next = 3;
  for (const int fd : kept) {
    close_between(next, static_cast<unsigned>(fd) - 1);
    next = static_cast<unsigned>(fd) + 1;
  }
  close_between(next, ~0U);
}

[[noreturn]] void run_program(const ChildPlan& plan, pid_t watcher) {
  const auto [null, output, report, lifeline] = plan.kept;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != watcher) ::_exit(127);  // it died before the line above
  struct sigaction standard{};
  standard.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal) ::sigaction(signal, &standard, nullptr);
  sigset_t none;
  sigemptyset(&none);
  ::pthread_sigmask(SIG_SETMASK, &none, nullptr);
  const bool placed = ::dup2(null, 0) >= 0 && ::dup2(output, 1) >= 0 && ::dup2(output, 2) >= 0 &&
                      ::chdir(plan.folder) == 0;
  if (placed) ::execve(plan.program, plan.arguments, plan.environment);
  send(report, {.kind = Record::exec_error, .value = errno});
  ::_exit(127);
}

/// SIGKILL to each child of this process. /proc may leave one out that comes while it is read, so
/// ask again until there are none. False where the system has no such list.
bool kill_children() {
  const int list = ::open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
  if (list < 0) return false;
  std::array<char, 1024> chunk{};
  pid_t pid = 0;
  for (;;) {
    const ssize_t got = ::read(list, chunk.data(), chunk.size());
    if (got < 0 && errno == EINTR) continue;
    for (ssize_t i = 0; i < got; ++i) {
      const char c = chunk[static_cast<std::size_t>(i)];
      if (c >= '0' && c <= '9') {
        pid = pid * 10 + (c - '0');
        continue;
      }
      if (pid > 0) ::kill(pid, SIGKILL);  // ours until we reap it: nobody else has this id
      pid = 0;
    }
    if (got > 0) continue;
    ::close(list);
    if (pid > 0) ::kill(pid, SIGKILL);
    return got == 0;
  }
}

/// What was started, and how it ended.
struct Watched {
  int report = -1;
  pid_t program = -1;
  bool program_ended = false;

  void note(pid_t gone, int status) {
    if (gone != program) return;
    program_ended = true;
    send(report, {.kind = Record::wait_status, .value = status});
  }
};

/// Kills all that descends from us, wherever it went: what loses its parent becomes our child.
[[noreturn]] void end_all(Watched& watched) {
  constexpr int kPauseMs = 5;
  constexpr int kRounds = 2'000;  // ten seconds: somebody waits for us, and must get the slot back
  for (int round = 0;; ++round) {
    // Without the list, or with a child that cannot be killed (a driver's sleep, another user's),
    // at least the group goes, and we, who are of it.
    if (!kill_children() || round == kRounds) ::kill(0, SIGKILL);
    int status = 0;
    pid_t gone = 0;
    while ((gone = ::waitpid(-1, &status, WNOHANG)) > 0) watched.note(gone, status);
    if (gone < 0 && errno == ECHILD) ::_exit(0);
    ::poll(nullptr, 0, kPauseMs);
  }
}

/// Takes in what has ended. After the program and the last of its group, what left the group (a
/// child that called setsid) is ended too.
void reap(Watched& watched) {
  int status = 0;
  pid_t gone = 0;
  while ((gone = ::waitpid(-1, &status, WNOHANG)) > 0 || (gone < 0 && errno == EINTR)) {
    if (gone > 0) watched.note(gone, status);
  }
  if (!watched.program_ended) return;
  gone = ::waitpid(0, &status, WNOHANG);  // children of our group only; one that ends just now
  if (gone > 0) return reap(watched);
  if (gone < 0 && errno == ECHILD) end_all(watched);
}

[[noreturn]] void watch(const ChildPlan& plan) {
  const auto [null, output, report, lifeline] = plan.kept;
  ::setpgid(0, 0);
  ::prctl(PR_SET_NAME, "pn-watcher");
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  ::prctl(PR_SET_DUMPABLE, 0);  // our memory, keys and all, is this process's too
  close_all_but(plan.kept);
  for (const int standard : {0, 1, 2}) ::dup2(null, standard);

  // All signals are blocked since before the fork, so the group's SIGTERM passes us by.
  sigset_t child_ended;
  sigemptyset(&child_ended);
  sigaddset(&child_ended, SIGCHLD);
  const int ended = ::signalfd(-1, &child_ended, SFD_CLOEXEC | SFD_NONBLOCK);
  const pid_t self = ::getpid();
  const pid_t program = ended < 0 ? -1 : ::fork();
  if (program == 0) run_program(plan, self);
  if (program < 0) {
    send(report, {.kind = Record::exec_error, .value = errno});
    ::_exit(1);
  }
  ::close(output);

  std::array<pollfd, 2> waits{pollfd{.fd = lifeline, .events = POLLIN, .revents = 0},
                              pollfd{.fd = ended, .events = POLLIN, .revents = 0}};
  Watched watched{.report = report, .program = program};
  constexpr int kLookMs = 100;
  for (;;) {
    // Nothing tells that the last of the group has left it: look now and then.
    const int ready = ::poll(waits.data(), waits.size(), watched.program_ended ? kLookMs : -1);
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0 || waits[0].revents != 0) end_all(watched);
    signalfd_siginfo seen{};
    while (::read(ended, &seen, sizeof seen) > 0) {
    }
    reap(watched);
  }
}

// --- The parent again. --------------------------------------------------------------------------

bool is_program(const fs::path& path) {
  std::error_code failed;
  return fs::is_regular_file(path, failed) && ::access(path.c_str(), X_OK) == 0;
}

}  // namespace

Result<fs::path> find_program(const std::string& program, std::string_view search_path) {
  Error missing(ErrorKind::not_found, "program_missing", "no program \"" + program + "\"");
  if (program.find('/') != std::string::npos) {
    if (is_program(program)) return fs::absolute(program);  // the child changes its folder
    return missing;
  }
  const std::string_view folders = search_path.empty() ? kUsualPath : search_path;
  for (std::size_t at = 0; at <= folders.size() && !program.empty();) {
    const std::size_t end = std::min(folders.find(':', at), folders.size());
    const fs::path candidate = fs::path(folders.substr(at, end - at)) / program;
    // An empty entry would mean the current folder: not a place to take programs from.
    if (end > at && is_program(candidate)) return fs::absolute(candidate);
    at = end + 1;
  }
  missing.detail += " in " + std::string(folders);
  return missing;
}

Result<SpawnedGroup> spawn_group(const SpawnRequest& request) {
  Result<Pipe> output = make_pipe();
  if (!output) return std::move(output).error();
  Result<Pipe> report = make_pipe();
  if (!report) return std::move(report).error();
  Result<Pipe> lifeline = make_pipe();
  if (!lifeline) return std::move(lifeline).error();
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) return spawn_error("cannot open /dev/null");
  for (const int fd : {output->read.get(), report->read.get()}) {
    if (::fcntl(fd, F_SETFL, O_NONBLOCK) != 0) return spawn_error("cannot set up a pipe");
  }

  std::vector<std::string> argument_texts{request.program.string()};
  argument_texts.insert(argument_texts.end(), request.arguments.begin(), request.arguments.end());
  std::vector<std::string> environment_texts;
  environment_texts.reserve(request.environment.size());
  for (const auto& [name, value] : request.environment) {
    environment_texts.push_back(name + "=" + value);
  }
  const std::vector<char*> arguments = pointers(argument_texts);
  const std::vector<char*> environment = pointers(environment_texts);
  const std::string program = request.program.string();
  const std::string folder = request.folder.empty() ? "." : request.folder.string();
  const ChildPlan plan{
      .program = program.c_str(),
      .arguments = arguments.data(),
      .environment = environment.data(),
      .folder = folder.c_str(),
      .kept = {null.get(), output->write.get(), report->write.get(), lifeline->read.get()}};

  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);  // none of our handlers may run in the watcher
  const pid_t watcher = ::fork();
  if (watcher == 0) watch(plan);
  const int fork_error = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = fork_error;
  if (watcher < 0) return spawn_error("cannot fork");
  ::setpgid(watcher, watcher);  // here too: whoever comes first, a signal finds the group

  const long pidfd = ::syscall(SYS_pidfd_open, watcher, 0);
  SpawnedGroup group(watcher,
                     UniqueFd(static_cast<int>(pidfd)),
                     std::move(output->read),
                     std::move(report->read),
                     std::move(lifeline->write));
  if (pidfd < 0) return spawn_error("cannot watch a process (Linux 5.3 is needed)");
  ::fcntl(static_cast<int>(pidfd), F_SETFL, O_NONBLOCK);
  return group;
}

SpawnedGroup::SpawnedGroup(
    pid_t watcher, UniqueFd pidfd, UniqueFd output, UniqueFd report, UniqueFd lifeline)
    : watcher_(watcher),
      pidfd_(std::move(pidfd)),
      output_(std::move(output)),
      report_(std::move(report)),
      lifeline_(std::move(lifeline)) {}

SpawnedGroup::SpawnedGroup(SpawnedGroup&& other) noexcept
    : watcher_(std::exchange(other.watcher_, -1)),
      pidfd_(std::move(other.pidfd_)),
      output_(std::move(other.output_)),
      report_(std::move(other.report_)),
      lifeline_(std::move(other.lifeline_)) {}

SpawnedGroup::~SpawnedGroup() {
  if (watcher_ <= 0) return;
  kill_all();
  reap();
}

void SpawnedGroup::signal_group(int signal) const {
  if (watcher_ > 0) ::kill(-watcher_, signal);
}

void SpawnedGroup::kill_all() { lifeline_.reset(); }

SpawnReport SpawnedGroup::reap() {
  SpawnReport out;
  if (watcher_ <= 0) return out;
  int status = 0;
  while (::waitpid(watcher_, &status, 0) < 0 && errno == EINTR) {
  }
  watcher_ = -1;
  Record record{};
  while (::read(report_.get(), &record, sizeof record) == static_cast<ssize_t>(sizeof record)) {
    if (record.kind == Record::exec_error) out.exec_error = record.value;
    if (record.kind == Record::wait_status) out.wait_status = record.value;
  }
  // Killed together with the program it had no time to tell; what ended it ended both.
  if (!out.wait_status && WIFSIGNALED(status)) out.wait_status = status;
  return out;
}

}  // namespace pn::runners
