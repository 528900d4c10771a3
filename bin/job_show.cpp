#include "base/awaitable.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "bin/client_run.hpp"
#include "bin/commands.hpp"
#include "bin/dms_jobs_client.hpp"
#include "bin/exit_codes.hpp"
#include "bin/job_follow.hpp"
#include "bin/jobs.hpp"
#include "bin/progress_view.hpp"
#include "bin/terminal.hpp"

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

namespace pn::bin {
namespace {

std::string time_text(const std::optional<SystemTime>& time) {
  if (!time) return "";
  std::string text = format_rfc3339(std::chrono::floor<std::chrono::seconds>(*time));
  text.resize(19);  // to the second: "2026-11-20T10:00:00"
  text[10] = ' ';
  return text;
}

std::string progress_text(const TaskRecord& task) {
  if (!task.progress || task.status == "queued") return "";
  std::string out = task.progress->stage;
  const std::string numbers = figures(*task.progress);
  if (!numbers.empty()) out += (out.empty() ? "" : " ") + numbers;
  return out;
}

std::string job_text(const Terminal& terminal, const JobDetails& details) {
  const JobRecord& job = details.job;
  std::string out = "job      " + job.id.str() + "\nlabel    " + printable(job.label) +
                    "\nstatus   " +
                    terminal.paint(status_colour(job.status), printable(job.status)) + "\n";
  if (job.created_at) out += "created  " + time_text(job.created_at) + " UTC\n";
  if (job.updated_at) out += "updated  " + time_text(job.updated_at) + " UTC\n";
  Table table({"TASK", "STATUS", "CAPABILITY", "ATTEMPTS", "NODE", "PROGRESS", "ID"});
  for (const TaskRecord& task : details.tasks) {
    table.add({task.label,
               task.status,
               task.capability,
               std::to_string(task.attempts) + "/" + std::to_string(task.max_attempts),
               task.reserved_by.substr(0, 8),
               progress_text(task),
               task.id.str()});
  }
  out += "\n" + table.text(terminal, 1);
  const std::string failures = failures_text(details);
  if (!failures.empty()) out += "\nFailed attempts\n" + failures;
  return out;
}

Awaitable<int> show(Client& client, const Invocation& invocation, JobId id) {
  Result<Json> json = co_await client.jobs.show(std::move(id));
  if (!json) co_return failed(json.error());
  if (invocation.json) {
    print(dump_json(*json) + "\n");
    co_return kExitOk;
  }
  const Result<JobDetails> details = parse_job_details(*json);
  if (!details) co_return failed(details.error());
  print(job_text(invocation.out, *details));
  co_return kExitOk;
}

Awaitable<int> cancel(Client& client, const Invocation& invocation, JobId id) {
  Result<Json> json = co_await client.jobs.cancel(id);
  if (!json) co_return failed(json.error());
  print(invocation.json ? dump_json(*json) + "\n" : "job " + id.str() + " canceled\n");
  co_return kExitOk;
}

Awaitable<int> list(Client& client, const Invocation& invocation, JobListOptions options) {
  Json all = Json::array();
  Table table({"JOB", "STATUS", "LABEL", "DONE", "CREATED"});
  JobFilter filter;
  filter.status = options.status;
  filter.capability = options.capability;
  int left = options.limit;
  while (left > 0) {
    filter.limit = std::min(left, 100);
    Result<Json> json = co_await client.jobs.list(filter);
    if (!json) co_return failed(json.error());
    const Result<JobPage> page = parse_job_page(*json);
    if (!page) co_return failed(page.error());
    for (const JobListItem& item : page->items) {
      table.add({item.job.id.str(),
                 item.job.status,
                 item.job.label,
                 std::to_string(item.counts.completed) + "/" + std::to_string(item.counts.total()),
                 time_text(item.job.created_at)});
    }
    for (Json& item : (*json)["items"]) all.push_back(std::move(item));
    left -= static_cast<int>(page->items.size());
    if (page->next_cursor.empty() || page->items.empty()) break;
    filter.cursor = page->next_cursor;
  }
  if (invocation.json) {
    Json answer;
    answer["items"] = std::move(all);
    print(dump_json(answer) + "\n");
  } else {
    print(table.empty() ? "no jobs\n" : table.text(invocation.out, 1));
  }
  co_return kExitOk;
}

}  // namespace

int job_show_command(Invocation invocation, std::string id) {
  const JobId job(std::move(id));
  const auto command = [&](Client& client) { return show(client, invocation, job); };
  return run_client(invocation, command);
}

int job_cancel_command(Invocation invocation, std::string id) {
  const JobId job(std::move(id));
  const auto command = [&](Client& client) { return cancel(client, invocation, job); };
  return run_client(invocation, command);
}

int job_list_command(Invocation invocation, JobListOptions options) {
  const auto command = [&](Client& client) { return list(client, invocation, options); };
  return run_client(invocation, command);
}

}  // namespace pn::bin
