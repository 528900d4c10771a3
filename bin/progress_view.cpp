#include "bin/progress_view.hpp"

#include "base/time.hpp"
#include "bin/jobs.hpp"
#include "bin/terminal.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace pn::bin {
namespace {

constexpr std::size_t kBarWidth = 24;
constexpr std::string_view kClearLine = "\r\x1b[K";

std::string percent(double of_one) {
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), "%3.0f %%", std::clamp(of_one, 0.0, 1.0) * 100);
  return text.data();
}

std::string bar(double of_one) {
  const double filled = std::clamp(of_one, 0.0, 1.0) * static_cast<double>(kBarWidth);
  const auto full = static_cast<std::size_t>(std::floor(filled));
  return "[" + std::string(full, '#') + std::string(kBarWidth - full, '.') + "]";
}

/// "label" or the first of what names a task to a person.
std::string task_name(const TaskRecord& task) {
  return task.label.empty() ? task.id.str().substr(0, 8) : task.label;
}

void add(std::string& line, std::string_view separator, std::string_view piece) {
  if (piece.empty()) return;
  if (!line.empty()) line += separator;
  line += piece;
}

/// The task whose progress stands for the job's: the first that runs and tells something.
const TaskRecord* spokesman(const JobDetails& details) {
  const TaskRecord* found = nullptr;
  for (const TaskRecord& task : details.tasks) {
    if (task.status != "running" && task.status != "leased") continue;
    if (task.progress) return &task;
    if (found == nullptr) found = &task;
  }
  return found;
}

std::string counts_text(const TaskCounts& counts) {
  std::string line =
      std::to_string(counts.completed) + "/" + std::to_string(counts.total()) + " done";
  const auto some = [&](std::int64_t number, std::string_view what) {
    if (number > 0) add(line, ", ", std::to_string(number) + " " + std::string(what));
  };
  some(counts.running + counts.leased, "running");
  some(counts.queued, "queued");
  some(counts.failed, "failed");
  some(counts.canceled, "canceled");
  return line;
}

}  // namespace

std::optional<double> share(const TaskProgress& progress) {
  if (progress.pct && std::isfinite(*progress.pct)) return *progress.pct / 100;
  if (progress.done && progress.total && *progress.total > 0) {
    return static_cast<double>(*progress.done) / static_cast<double>(*progress.total);
  }
  return std::nullopt;
}

std::string figures(const TaskProgress& progress) {
  std::string out;
  if (progress.done) {
    out = std::to_string(*progress.done);
    if (progress.total) out += "/" + std::to_string(*progress.total);
    add(out, " ", progress.unit);
  } else if (const auto part = share(progress)) {
    out = percent(*part);
    out.erase(0, out.find_first_not_of(' '));
  }
  return printable(out);
}

std::string ProgressView::bar_line(const JobDetails& details, Millis elapsed) const {
  const TaskRecord* task = spokesman(details);
  const bool several = details.tasks.size() > 1;
  std::string line;
  std::optional<double> part;
  if (several) {
    const auto total = static_cast<double>(std::max<std::int64_t>(details.counts.total(), 1));
    part = static_cast<double>(details.counts.completed) / total;
    for (const TaskRecord& each : details.tasks) {
      if (each.status == "running" && each.progress) {
        *part += share(*each.progress).value_or(0.0) / total;
      }
    }
  } else if (task != nullptr && task->progress) {
    part = share(*task->progress);
  }
  if (part) line = bar(*part) + " " + percent(*part);
  if (several) add(line, "  ", counts_text(details.counts));
  if (task == nullptr) {
    if (!several) add(line, "  ", details.job.ended() ? details.job.status : "queued");
  } else if (!task->progress) {
    add(line, "  ", task->status);
  } else {
    add(line, "  ", printable(task->progress->stage));
    if (task->progress->done || !part) add(line, "  ", figures(*task->progress));
  }
  add(line, "  ", format_duration(std::chrono::floor<std::chrono::seconds>(elapsed)));
  // Last, because it is what a narrow terminal may cut.
  if (task != nullptr && task->progress) add(line, "  ", printable(task->progress->message));
  return cut(line, terminal_.width > 1 ? terminal_.width - 1 : 1);
}

std::string ProgressView::changes(const JobDetails& details) {
  std::string out;
  for (const TaskRecord& task : details.tasks) {
    std::string key = task.status;
    const bool works = task.status == "running" && task.progress.has_value();
    if (works) key += "/" + task.progress->stage;
    std::string& shown = shown_[task.id.str()];
    if (shown == key) continue;
    shown = key;
    std::string line;
    if (details.tasks.size() > 1) line = printable(task_name(task)) + ": ";
    if (works && !task.progress->stage.empty()) {
      line += printable(task.progress->stage);
      const std::string numbers = figures(*task.progress);
      if (!numbers.empty()) line += " " + numbers;
    } else {
      line += printable(task.status);
    }
    out += line + "\n";
  }
  return out;
}

std::string ProgressView::update(const JobDetails& details, Millis elapsed) {
  if (!terminal_.tty) return changes(details);
  drawn_ = true;
  return std::string(kClearLine) + bar_line(details, elapsed);
}

std::string ProgressView::clear() {
  if (!std::exchange(drawn_, false)) return "";
  return std::string(kClearLine);
}

}  // namespace pn::bin
