#include "bin/status_view.hpp"

#include "base/json.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "bin/jobs.hpp"
#include "bin/progress_view.hpp"
#include "bin/terminal.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include <nlohmann/json.hpp>

namespace pn::bin {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kTasksShown = 10;
constexpr std::size_t kIndent = 2;

// A node of another version may have other fields: what is not there is empty.
std::optional<std::int64_t> number_of(const Json& object, const char* key) {
  const auto at = object.find(key);
  if (at == object.end() || !at->is_number()) return std::nullopt;
  return at->get<std::int64_t>();
}
bool is_true(const Json& object, const char* key) {
  const auto at = object.find(key);
  return at != object.end() && at->is_boolean() && at->get<bool>();
}
const Json& part(const Json& object, const char* key) {
  static const Json nothing = Json::object();
  const auto at = object.find(key);
  return at != object.end() && (at->is_object() || at->is_array()) ? *at : nothing;
}

std::string bytes_of(const Json& object, const char* key) {
  const std::int64_t bytes = number_of(object, key).value_or(0);
  return format_bytes(static_cast<std::uint64_t>(std::max<std::int64_t>(bytes, 0)));
}

std::string span(std::int64_t ms) {
  const std::int64_t secs = std::max<std::int64_t>(ms, 0) / 1000;
  if (secs < 120) return std::to_string(secs) + " s";
  if (secs < 7200) return std::to_string(secs / 60) + " min";
  if (secs < 172'800) return std::to_string(secs / 3600) + " h";
  return std::to_string(secs / 86'400) + " d";
}

class View {
 public:
  View(const Json& status, const Terminal& terminal)
      : status_(status), terminal_(terminal), width_(std::max<std::size_t>(terminal.width, 40)) {}

  std::string text() {
    head();
    slots();
    checks();
    capabilities();
    outbox();
    disks();
    tasks();
    return out_;
  }

 private:
  void heading(std::string_view text) { out_ += "\n" + terminal_.paint(Colour::bold, text) + "\n"; }

  /// `text` behind `indent` blanks, on as many lines as it needs, broken at blanks. The first line
  /// begins with `label` instead of blanks.
  void wrapped(const std::string& label,
               std::size_t indent,
               std::string_view text,
               Colour colour = Colour::none) {
    std::string line = label;
    if (columns(label) < indent) line.append(indent - columns(label), ' ');
    const std::size_t room = width_ > indent + 10 ? width_ - indent : 10;
    while (columns(text) > room) {
      const std::size_t fits = bytes_in(text, room);
      std::size_t at = text.rfind(' ', fits);
      if (at == std::string_view::npos || at == 0) at = fits;
      out_ += line + terminal_.paint(colour, text.substr(0, at)) + "\n";
      text.remove_prefix(at);
      while (text.starts_with(' ')) text.remove_prefix(1);
      line.assign(indent, ' ');
    }
    out_ += line + terminal_.paint(colour, text) + "\n";
  }

  void head() {
    std::string line = "posenode " + text_of(status_, "version");
    const Result<SystemTime> now = parse_rfc3339(text_of(status_, "now"));
    const Result<SystemTime> started = parse_rfc3339(text_of(status_, "started_at"));
    if (now && started) {
      line += ", up " + span(std::chrono::duration_cast<Millis>(*now - *started).count());
    }
    out_ += line + "\n";
    wrapped("", kIndent, text_of(status_, "address"), Colour::dim);
    wrapped("", kIndent, text_of(status_, "dms"), Colour::dim);
    wrapped("", kIndent, text_of(status_, "status_url"), Colour::dim);

    const std::string state = text_of(status_, "state");
    const bool works = state == "leasing" || state == "full";
    const Colour colour = works ? Colour::green : state == "waiting" ? Colour::red : Colour::yellow;
    out_ += "\n" + terminal_.paint(colour, state) +
            (is_true(status_, "ready") ? "" : terminal_.paint(Colour::dim, " (not ready)")) + "\n";
    for (const Json& reason : part(status_, "reasons")) {
      if (reason.is_string()) wrapped("  ", kIndent, printable(reason.get<std::string>()));
    }
  }

  void slots() {
    const Json& slots = part(status_, "slots");
    const Json& busy = part(slots, "busy");
    const auto taken = [](const Json& slot) { return !slot.value("lingers", false); };
    heading("slots: " + std::to_string(std::count_if(busy.begin(), busy.end(), taken)) + " of " +
            std::to_string(number_of(slots, "all").value_or(1)) + " busy");
    for (const Json& slot : busy) {
      std::string phase = text_of(slot, "phase");
      std::replace(phase.begin(), phase.end(), '_', ' ');
      std::string line = text_of(slot, "capability") + "  " + phase + ", " +
                         span(number_of(slot, "age_ms").value_or(0));
      if (const auto left = number_of(slot, "lease_left_ms")) line += ", lease " + span(*left);
      if (const std::int64_t failed = number_of(slot, "heartbeat_failures").value_or(0)) {
        line += ", " + std::to_string(failed) + " heartbeats failed";
      }
      wrapped("", kIndent, line);
      const std::optional<TaskProgress> progress = parse_progress(part(slot, "progress"));
      if (progress) {
        std::string doing = printable(progress->stage);
        const std::string numbers = figures(*progress);
        if (!numbers.empty()) doing += (doing.empty() ? "" : " ") + numbers;
        if (!progress->message.empty()) doing += "  " + printable(progress->message);
        if (!doing.empty()) wrapped("", 2 * kIndent, doing);
      }
      wrapped("", 2 * kIndent, "task " + text_of(slot, "task_id"), Colour::dim);
    }
  }

  void checks() {
    heading("checks");
    for (const Json& check : part(status_, "checks")) {
      const bool ok = is_true(check, "ok");
      std::string name = text_of(check, "name");
      name.resize(std::max<std::size_t>(name.size(), 8), ' ');
      out_ += "  " +
              (ok ? terminal_.paint(Colour::green, "ok  ") : terminal_.paint(Colour::red, "BAD ")) +
              name;
      const std::size_t indent = 2 + 4 + name.size();
      // The label is written already, with its colours, which take no columns.
      const std::size_t before = out_.size();
      wrapped("", indent, text_of(check, "detail"));
      out_.erase(before, indent);
    }
  }

  void capabilities() {
    heading("capabilities");
    for (const Json& one : part(status_, "capabilities")) {
      std::string line = text_of(one, "capability") + "  " +
                         std::to_string(number_of(one, "busy").value_or(0)) + " busy";
      if (const auto cap = number_of(one, "cap")) line += " of " + std::to_string(*cap);
      const std::string paused = text_of(one, "paused");
      wrapped("", kIndent, paused.empty() ? line : line + ", " + paused);
    }
  }

  void outbox() {
    const Json& outbox = part(status_, "outbox");
    heading("outbox");
    const std::int64_t pending = number_of(outbox, "pending").value_or(0);
    std::string line =
        pending == 0 ? "nothing to be sent" : std::to_string(pending) + " to be sent";
    if (const auto oldest = number_of(outbox, "oldest_ms")) {
      line += ", the oldest for " + span(*oldest);
    }
    const std::int64_t aside = number_of(outbox, "set_aside").value_or(0);
    if (aside > 0) line += ", " + std::to_string(aside) + " set aside that no server takes";
    wrapped("", kIndent, line);
    const std::string error = text_of(outbox, "last_error");
    if (!error.empty()) wrapped("", kIndent, error, Colour::yellow);
    for (const Json& one : part(outbox, "last_set_aside")) {
      wrapped("", kIndent, text_of(one, "at") + "  " + text_of(one, "task_id"), Colour::dim);
      wrapped("", 2 * kIndent, text_of(one, "outcome") + ": " + text_of(one, "answer"));
    }
  }

  void disks() {
    const Json& disks = part(status_, "disks");
    const Json& cache = part(status_, "cache");
    if (!disks.empty() || !cache.empty()) heading("disk");
    for (const Json& disk : disks) {
      std::string line = text_of(disk, "folder") + "  " + bytes_of(disk, "free_bytes") + " free, " +
                         std::to_string(number_of(disk, "used_pct").value_or(0)) + " % used, " +
                         std::to_string(number_of(disk, "inodes_used_pct").value_or(0)) +
                         " % of the inodes";
      wrapped("", kIndent, line);
      wrapped("", 2 * kIndent, text_of(disk, "path"), Colour::dim);
      const std::string fault = text_of(disk, "fault");
      if (!fault.empty()) wrapped("", 2 * kIndent, fault, Colour::red);
    }
    if (cache.empty()) return;
    wrapped("",
            kIndent,
            "cache  " + bytes_of(cache, "bytes") + " of " + bytes_of(cache, "max_bytes") + ", " +
                std::to_string(number_of(cache, "hits").value_or(0)) + " inputs taken from it, " +
                std::to_string(number_of(cache, "misses").value_or(0)) + " not in it");
    wrapped("", 2 * kIndent, text_of(cache, "path"), Colour::dim);
  }

  void tasks() {
    const Json& tasks = part(status_, "tasks");
    if (tasks.empty()) return;
    heading("last tasks");
    std::size_t shown = 0;
    for (const Json& task : tasks) {
      if (shown++ == kTasksShown) {
        out_ +=
            "  " + std::to_string(tasks.size() - kTasksShown) + " more: see the page, or --json\n";
        break;
      }
      const std::string outcome = text_of(task, "outcome");
      out_ += "  " + text_of(task, "ended_at").substr(0, 19) + "  " +
              terminal_.paint(status_colour(outcome), outcome) + "  " +
              text_of(task, "capability") + ", took " +
              span(number_of(task, "took_ms").value_or(0)) + "\n";
      const std::string reason = text_of(task, "reason");
      const std::string error = text_of(task, "error");
      if (!reason.empty() || !error.empty()) {
        wrapped("", 2 * kIndent, reason + (reason.empty() || error.empty() ? "" : ": ") + error);
      }
      wrapped("", 2 * kIndent, "task " + text_of(task, "task_id"), Colour::dim);
    }
  }

  const Json& status_;
  const Terminal& terminal_;
  const std::size_t width_;
  std::string out_;
};

std::optional<std::int64_t> seconds_in(char unit) {
  switch (unit) {
    case 's':
      return 1;
    case 'm':
      return 60;
    case 'h':
      return 3600;
    case 'd':
      return 86'400;
    default:
      return std::nullopt;
  }
}

}  // namespace

std::string text_of(const Json& object, const char* key) {
  const auto at = object.find(key);
  return at != object.end() && at->is_string() ? printable(at->get<std::string>()) : "";
}

std::string status_text(const Json& status, const Terminal& terminal) {
  return View(status, terminal).text();
}

std::optional<std::chrono::seconds> parse_span(std::string_view text) {
  constexpr std::int64_t kMost = 1'000'000;
  std::int64_t total = 0;
  while (!text.empty()) {
    std::int64_t number = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
    const auto digits = static_cast<std::size_t>(end - text.data());
    if (failed != std::errc() || number < 0 || number > kMost || digits == text.size()) {
      return std::nullopt;
    }
    const std::optional<std::int64_t> unit = seconds_in(text[digits]);
    if (!unit) return std::nullopt;
    total += number * *unit;
    text.remove_prefix(digits + 1);
  }
  if (total == 0) return std::nullopt;
  return std::chrono::seconds(total);
}

}  // namespace pn::bin
