#include "bin/job_follow.hpp"

#include "base/awaitable.hpp"
#include "base/file.hpp"
#include "base/ids.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "bin/artifact_paths.hpp"
#include "bin/client_run.hpp"
#include "bin/commands.hpp"
#include "bin/exit_codes.hpp"
#include "bin/jobs.hpp"
#include "bin/progress_view.hpp"
#include "bin/terminal.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>
#include <unistd.h>

namespace pn::bin {
namespace {

constexpr Millis kFirstPause{100};
constexpr Millis kLongestPause{1000};

struct Followed {
  Json json;
  JobDetails details;
};

/// Writes progress where people look: standard output, or standard error where that is for JSON.
void show(const Invocation& invocation, std::string_view text) {
  if (text.empty()) return;
  if (!invocation.json) return print(text);
  const Result<void> written = write_all(STDERR_FILENO, text);
  static_cast<void>(written.ok());
}

/// Takes the progress line away also when the watcher is cancelled.
class ShownProgress {
 public:
  explicit ShownProgress(const Invocation& invocation)
      : invocation_(invocation),
        view_(invocation.json ? Terminal::of(STDERR_FILENO, invocation.environment)
                              : invocation.out) {}
  ~ShownProgress() { show(invocation_, view_.clear()); }
  ShownProgress(const ShownProgress&) = delete;
  ShownProgress& operator=(const ShownProgress&) = delete;

  void update(const JobDetails& details, Millis elapsed) {
    show(invocation_, view_.update(details, elapsed));
  }

 private:
  const Invocation& invocation_;
  ProgressView view_;
};

Awaitable<Result<Followed>> until_ended(Client& client, const Invocation& invocation, JobId id) {
  ShownProgress shown(invocation);
  const SteadyTime start = client.clock.steady_now();
  Millis pause = kFirstPause;
  for (;;) {
    Result<Json> json = co_await client.jobs.show(id);
    // The session has waited and tried again already: a marketplace that is down for longer is
    // waited for too, because the job goes on without us.
    if (!json && json.error().kind == ErrorKind::retry) {
      complain("cannot ask for the job, trying on: " + json.error().detail);
      co_await client.clock.sleep_for(kLongestPause);
      continue;
    }
    if (!json) co_return std::move(json).error();
    Result<JobDetails> details = parse_job_details(*json);
    if (!details) co_return std::move(details).error();
    shown.update(*details, std::chrono::duration_cast<Millis>(client.clock.steady_now() - start));
    if (details->job.ended())
      co_return Followed{.json = std::move(*json), .details = std::move(*details)};
    co_await client.clock.sleep_for(watch_pause(pause, details->tasks.size()));
    pause = std::min(pause + pause / 8, kLongestPause);
  }
}

struct Fetched {
  std::vector<std::filesystem::path> files;
};

Awaitable<Result<Fetched>> fetch(Client& client,
                                 const JobDetails& details,
                                 std::filesystem::path out) {
  const Result<std::vector<WantedFile>> wanted = wanted_files(details);
  if (!wanted) co_return wanted.error();
  Fetched fetched;
  for (const WantedFile& file : *wanted) {
    std::filesystem::path to = out / file.path;
    const Result<void> folder = make_folders(to.parent_path());
    if (!folder.ok()) co_return folder.error();
    const Result<void> got = co_await client.data.get(file.id, to);
    if (!got.ok()) co_return within(to.string(), got.error());
    fetched.files.push_back(std::move(to));
  }
  co_return fetched;
}

std::string summary(const Invocation& invocation,
                    const JobDetails& details,
                    const std::vector<std::filesystem::path>& files,
                    const std::filesystem::path& out) {
  const JobRecord& job = details.job;
  std::string text = "job " + job.id.str() + " " +
                     invocation.out.paint(status_colour(job.status), printable(job.status));
  if (details.counts.total() > 1) {
    text += ": " + std::to_string(details.counts.completed) + " of " +
            std::to_string(details.counts.total()) + " tasks completed";
  }
  text += "\n";
  if (!files.empty()) {
    text += std::to_string(files.size()) + (files.size() == 1 ? " file in " : " files in ") +
            out.string() + ":\n";
    for (const auto& file : files) text += "  " + printable(file.string()) + "\n";
  }
  return text;
}

/// "a, attempt 2, node 1a2b3c4d: reason: explanation".
std::string failure_line(std::string_view task,
                         std::int64_t number,
                         std::string_view node,
                         std::string_view reason,
                         std::string_view error) {
  std::string line = std::string(task) + ", attempt " + std::to_string(number);
  if (!node.empty()) line += ", node " + std::string(node.substr(0, 8));
  line += ": " + std::string(reason);
  if (!error.empty() && error != reason) line += ": " + std::string(error);
  return line;
}

/// A job's reports, by task: each is looked at by its own task alone.
struct Reports {
  explicit Reports(const JobDetails& details) {
    for (const AttemptRecord& each : details.attempts) attempts[each.task].push_back(&each);
    for (const ReceiptRecord& each : details.receipts) receipts[each.task].push_back(&each);
  }
  std::map<TaskId, std::vector<const AttemptRecord*>> attempts;
  std::map<TaskId, std::vector<const ReceiptRecord*>> receipts;
};

/// Of a server that lists attempts: each that failed, with what its receipt explains.
std::vector<std::string> attempted_failures(Reports& reports,
                                            const TaskRecord& task,
                                            std::string_view name) {
  std::vector<std::string> out;
  for (const AttemptRecord* attempt : reports.attempts[task.id]) {
    if (attempt->outcome.empty() || attempt->outcome == "completed") continue;
    std::string error;
    for (const ReceiptRecord* receipt : reports.receipts[task.id]) {
      if (receipt->attempt == attempt->attempt) error = receipt->error;
    }
    std::string reason = attempt->reason.empty() ? attempt->outcome : attempt->reason;
    if (reason == "expired") reason = "the node went silent and its lease ran out";
    out.push_back(failure_line(name, attempt->attempt, attempt->node, reason, error));
  }
  return out;
}

/// Of one that keeps receipts only: an attempt without one is known by its absence.
std::vector<std::string> reported_failures(Reports& reports,
                                           const TaskRecord& task,
                                           std::string_view name) {
  std::vector<std::string> out;
  std::int64_t number = 0;
  for (const ReceiptRecord* receipt : reports.receipts[task.id]) {
    ++number;
    if (receipt->reason.empty()) continue;
    out.push_back(failure_line(name, number, receipt->node, receipt->reason, receipt->error));
  }
  if (task.status == "failed" && number < task.attempts) {
    out.push_back(std::string(name) + ": " + std::to_string(task.attempts - number) +
                  " of its attempts ended without a report (the node went silent and its lease "
                  "ran out)");
  }
  return out;
}

std::string printable_lines(const std::vector<std::string>& lines) {
  std::string out;
  for (const std::string& line : lines) out += printable(line) + "\n";
  return out;
}

}  // namespace

Millis watch_pause(Millis usual, std::size_t tasks) {
  constexpr std::size_t kMost = 10'000;
  return std::max(usual, Millis(static_cast<Millis::rep>(std::min(tasks, kMost))));
}

int exit_code_of_job(const JobRecord& job) {
  if (job.status == "completed") return kExitOk;
  if (job.status == "failed") return kExitJobFailed;
  if (job.status == "canceled") return kExitJobCanceled;
  return kExitNotReady;
}

std::string failures_text(const JobDetails& details) {
  Reports reports(details);
  std::string out;
  for (const TaskRecord& task : details.tasks) {
    const std::string name = task.label.empty() ? task.id.str().substr(0, 8) : task.label;
    out += printable_lines(details.attempts.empty() ? reported_failures(reports, task, name)
                                                    : attempted_failures(reports, task, name));
  }
  return out;
}

std::string detached_text(const JobId& id) {
  return "The job goes on. Watch it:  posenode job watch " + id.str() +
         "\n                 Stop it:   posenode job cancel " + id.str() + "\n";
}

Awaitable<int> follow_job(Client& client,
                          const Invocation& invocation,
                          JobId id,
                          std::filesystem::path out) {
  Result<Followed> followed = co_await until_ended(client, invocation, id);
  if (!followed) co_return failed(followed.error());
  const JobDetails& details = followed->details;
  int code = exit_code_of_job(details.job);
  Fetched fetched;
  if (!out.empty()) {
    Result<Fetched> got = co_await fetch(client, details, out);
    if (got) {
      fetched = std::move(*got);
    } else {
      complain(within("fetching the artifacts", got.error()));
      if (code == kExitOk) code = exit_code(got.error());
    }
  }
  if (invocation.json) {
    if (!out.empty()) {
      followed->json["files"] = Json::array();
      for (const auto& file : fetched.files) followed->json["files"].push_back(file.string());
    }
    print(dump_json(followed->json) + "\n");
  } else {
    print(summary(invocation, details, fetched.files, out));
  }
  if (details.job.status == "failed") {
    const std::string reasons = failures_text(details);
    std::size_t at = 0;
    while (at < reasons.size()) {
      const std::size_t end = reasons.find('\n', at);
      complain("job failed: " + reasons.substr(at, end - at));
      at = end + 1;
    }
  }
  co_return code;
}

}  // namespace pn::bin
