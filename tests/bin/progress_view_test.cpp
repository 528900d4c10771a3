#include "bin/progress_view.hpp"

#include "bin/jobs.hpp"
#include "bin/terminal.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include <catch2/catch.hpp>

using namespace pn;       // NOLINT(google-build-using-namespace)
using namespace pn::bin;  // NOLINT(google-build-using-namespace)
using namespace std::chrono_literals;

namespace {
TaskRecord task(std::string label, std::string status) {
  TaskRecord out;
  out.id = TaskId("id-of-" + label);
  out.label = std::move(label);
  out.status = std::move(status);
  return out;
}
TaskProgress at(std::string stage, std::int64_t done, std::int64_t total) {
  TaskProgress out;
  out.stage = std::move(stage);
  out.done = done;
  out.total = total;
  out.unit = "photos";
  return out;
}
JobDetails one(TaskRecord record) {
  JobDetails out;
  out.counts.running = 1;
  out.tasks.push_back(std::move(record));
  return out;
}
}  // namespace

TEST_CASE("progress: in a pipe one line for each change of status or stage", "[bin][progress]") {
  ProgressView view(Terminal{});
  JobDetails details = one(task("sfm", "queued"));
  CHECK(view.update(details, 0s) == "queued\n");
  CHECK(view.update(details, 1s).empty());
  details.tasks[0].status = "running";
  details.tasks[0].progress = at("features", 0, 10);
  CHECK(view.update(details, 2s) == "features 0/10 photos\n");
  details.tasks[0].progress = at("features", 5, 10);
  CHECK(view.update(details, 3s).empty());
  details.tasks[0].progress = at("matches", 1, 45);
  CHECK(view.update(details, 4s) == "matches 1/45 photos\n");
  details.tasks[0].status = "completed";
  CHECK(view.update(details, 5s) == "completed\n");
  CHECK(view.clear().empty());
}

TEST_CASE("progress: several tasks are told apart", "[bin][progress]") {
  ProgressView view(Terminal{});
  JobDetails details = one(task("a", "queued"));
  details.tasks.push_back(task("b", "running"));
  CHECK(view.update(details, 0s) == "a: queued\nb: running\n");
}

TEST_CASE("progress: on a terminal one line is redrawn, within its width", "[bin][progress]") {
  const std::size_t width = GENERATE(20U, 60U, 200U);
  ProgressView view({.tty = true, .colours = true, .width = width});
  JobDetails details = one(task("sfm", "running"));
  details.tasks[0].progress = at("features", 5, 10);
  details.tasks[0].progress->message = "a message that is long enough to be cut on most terminals";
  const std::string drawn = view.update(details, 65s);
  REQUIRE(drawn.starts_with("\r\x1b[K"));
  const std::string line = drawn.substr(4);
  CHECK(line.find('\n') == std::string::npos);
  CHECK(columns(line) < width);
  if (width == 200) {
    CHECK(line.find("[############............]  50 %  features  5/10 photos") == 0);
    CHECK(line.find("1 min 5 s") != std::string::npos);
  }
  CHECK(view.clear() == "\r\x1b[K");
  CHECK(view.clear().empty());
}

TEST_CASE("progress: a job of several tasks shows how many are done", "[bin][progress]") {
  ProgressView view({.tty = true, .colours = false, .width = 200});
  JobDetails details = one(task("a", "completed"));
  details.counts = {.queued = 1, .running = 1, .completed = 2};
  details.tasks.push_back(task("b", "running"));
  const std::string drawn = view.update(details, 1s);
  CHECK(drawn.find("50 %") != std::string::npos);
  CHECK(drawn.find("2/4 done, 1 running, 1 queued") != std::string::npos);
}

TEST_CASE("progress: figures of any runner", "[bin][progress]") {
  CHECK(figures(at("x", 3, 9)) == "3/9 photos");
  TaskProgress pct;
  pct.pct = 12.4;
  CHECK(figures(pct) == "12 %");
  CHECK(figures(TaskProgress()).empty());
  pct.pct = 1e308;
  CHECK(figures(pct) == "100 %");
  CHECK_FALSE(share(TaskProgress()));
  CHECK(share(at("x", 0, 0)) == std::nullopt);
}

TEST_CASE("terminal: a stranger's text cannot move the cursor", "[bin][terminal]") {
  CHECK(printable("a\x1b[2Jb\n\r\x7f") == "a?[2Jb???");
  CHECK(printable("\xC2\x9B"
                  "2J") == "??2J");
  CHECK(printable("für") == "für");
  ProgressView view(Terminal{});
  TaskRecord record = task("x", "running");
  record.progress = at("\x1b]0;title\x07", 1, 2);
  CHECK(view.update(one(record), 0s).find('\x1b') == std::string::npos);
}

TEST_CASE("terminal: tables are aligned, and coloured only where colours are", "[bin][terminal]") {
  Table table({"JOB", "STATUS", "LABEL"});
  table.add({"1", "failed", "a"});
  table.add({"2222", "completed", "für"});
  CHECK(table.text(Terminal{}, 1) ==
        "JOB   STATUS     LABEL\n"
        "1     failed     a\n"
        "2222  completed  für\n");
  const Terminal colours{.tty = true, .colours = true, .width = 80};
  CHECK(table.text(colours, 1).find("\x1b[31mfailed\x1b[0m     a") != std::string::npos);
}

TEST_CASE("terminal: NO_COLOR and a pipe mean no colours", "[bin][terminal]") {
  CHECK_FALSE(Terminal::of(-1, {}).colours);
  CHECK(Terminal{}.paint(Colour::red, "x") == "x");
}

TEST_CASE("terminal: sizes and cuts", "[bin][terminal]") {
  CHECK(format_bytes(0) == "0 B");
  CHECK(format_bytes(1023) == "1023 B");
  CHECK(format_bytes(1536) == "1.5 KiB");
  CHECK(format_bytes(1024 * 1024) == "1.0 MiB");
  CHECK(format_bytes(std::uint64_t{5} << 30U) == "5.0 GiB");
  CHECK(cut("abcdef", 6) == "abcdef");
  CHECK(cut("abcdef", 4) == "abc…");
  CHECK(cut("äöüß", 3) == "äö…");
  CHECK(cut("abc", 0).empty());
}
