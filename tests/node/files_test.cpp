#include "base/file.hpp"
#include "base/ids.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "node/config.hpp"
#include "node/disk_guard.hpp"
#include "node/housekeeping.hpp"
#include "node/journal.hpp"
#include "node/state_db.hpp"
#include "node/state_dir.hpp"
#include "node/workspace.hpp"
#include "tests/support/fake_rng.hpp"
#include "tests/support/in_child.hpp"
#include "tests/support/temp_folder.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

namespace pn::node {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

SystemTime now() {
  return std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
}

/// Modes bind root to nothing: it becomes another user, whose `folder` is from then on.
bool become_plain_user(const fs::path& folder) {
  constexpr unsigned kNobody = 65534;
  const bool plain = ::geteuid() != 0 || (::chown(folder.c_str(), kNobody, kNobody) == 0 &&
                                          ::setresgid(kNobody, kNobody, kNobody) == 0 &&
                                          ::setresuid(kNobody, kNobody, kNobody) == 0);
  return plain && ::access(folder.c_str(), R_OK | W_OK | X_OK) == 0;
}

/// What some tools leave: folders that nobody may write to or look into, and a link to `foreign`.
void fill_and_lock(const fs::path& workspace, const fs::path& foreign) {
  fs::create_directories(workspace / "packed/inner");
  std::ofstream(workspace / "packed/inner/file") << "data";
  fs::create_directory_symlink(foreign, workspace / "packed/away");
  ::chmod((workspace / "packed/inner").c_str(), 0000);
  ::chmod((workspace / "packed").c_str(), 0555);
}

/// 0, or which step went wrong; kNotHere.
int remove_locked(const fs::path& dir) {
  if (!become_plain_user(dir)) return pn::testing::kNotHere;
  testing::FakeRng rng;
  const fs::path foreign = dir / "foreign";
  if (::mkdir(foreign.c_str(), 0700) != 0 || ::chmod(foreign.c_str(), 0555) != 0) return 1;
  {
    Workspace over(dir, TaskId("over"), rng);
    fill_and_lock(over.open(), foreign);
    if (!over.remove().ok() || fs::exists(over.path())) return 2;
    Workspace died(dir, TaskId("dead"), rng);
    fill_and_lock(died.open(), foreign);
  }
  if (collect_workspaces(dir, {}, now()).dead != 1) return 3;
  struct stat status{};
  return ::stat(foreign.c_str(), &status) == 0 && (status.st_mode & 0777U) == 0555U ? 0 : 4;
}

}  // namespace

TEST_CASE("state folder: one node each", "[node][state]") {
  const pn::testing::TempFolder dir;
  {
    const Result<StateDir> first = StateDir::open(dir.path / "a/b");
    REQUIRE(first.ok());
    const Result<StateDir> second = StateDir::open(dir.path / "a/b");
    REQUIRE_FALSE(second.ok());
    CHECK(second.error().code == "state_locked");
    CHECK(second.error().kind == ErrorKind::rejected);
    CHECK(second.error().detail.find((dir.path / "a/b").string()) != std::string::npos);
    CHECK(StateDir::open(dir.path / "other").ok());
  }
  CHECK(StateDir::open(dir.path / "a/b").ok());
}

TEST_CASE("state folder: what cannot be a folder is a clear error", "[node][state]") {
  const pn::testing::TempFolder dir;
  std::ofstream(dir.path / "file") << "x";
  const Result<StateDir> opened = StateDir::open(dir.path / "file");
  REQUIRE_FALSE(opened.ok());
  CHECK(opened.error().detail.starts_with("STATE_DIR"));
}

TEST_CASE("workspace: made when asked for, private, removed with all in it", "[node][workspace]") {
  const pn::testing::TempFolder dir;
  testing::FakeRng rng;
  Workspace workspace(dir.path, TaskId("a/../b c"), rng);
  CHECK_FALSE(workspace.exists());
  CHECK_FALSE(fs::exists(workspace.path()));
  const fs::path path = workspace.open();
  CHECK(workspace.open() == path);
  CHECK(path.parent_path() == dir.path);
  CHECK(path.filename().string().starts_with("task-a____b_c-"));
  struct stat status{};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777U) == 0700U);
  fs::create_directories(path / "x/y");
  std::ofstream(path / "x/y/z") << "data";
  CHECK(workspace.remove().ok());
  CHECK_FALSE(fs::exists(path));
}

TEST_CASE("workspace: two attempts of one task never share a folder", "[node][workspace]") {
  const pn::testing::TempFolder dir;
  testing::FakeRng rng;
  Workspace one(dir.path, TaskId("t"), rng);
  Workspace two(dir.path, TaskId("t"), rng);
  CHECK(one.open() != two.open());
}

TEST_CASE("workspace: a folder that cannot be made is the task's failure", "[node][workspace]") {
  testing::FakeRng rng;
  Workspace workspace("/no/such/folder", TaskId("t"), rng);
  CHECK_THROWS_AS(workspace.open(), WorkspaceFailure);
}

TEST_CASE("workspace: one whose runner made folders read-only goes, and nothing behind a link",
          "[node][workspace][gc]") {
  const pn::testing::TempFolder dir;
  const int wrong = pn::testing::in_child([&] { return remove_locked(dir.path); });
  if (wrong == pn::testing::kNotHere) {
    WARN("skipped: root can be no other user here");
    return;
  }
  CHECK(wrong == 0);
  CHECK(dir.listing() == std::vector<std::string>{"foreign"});
}

TEST_CASE("gc: a failed folder's age counts from the failure", "[node][gc]") {
  const pn::testing::TempFolder dir;
  testing::FakeRng rng;
  Workspace kept(dir.path, TaskId("long"), rng);
  const fs::path made = kept.open();
  // A task of three days put nothing new into the folder itself.
  fs::last_write_time(made, fs::file_time_type::clock::now() - 72h);
  REQUIRE(kept.keep().ok());
  CHECK(collect_workspaces(dir.path, {.keep = 24h}, now()).old == 0);
  CHECK(fs::exists(kept.path()));
}

TEST_CASE("gc: folders of the dead go at once, failed ones by age, others stay", "[node][gc]") {
  const pn::testing::TempFolder dir;
  testing::FakeRng rng;
  fs::path dead;
  fs::path failed;
  {
    Workspace died(dir.path, TaskId("dead"), rng);
    dead = died.open();
    std::ofstream(dead / "input") << "data";
    Workspace kept(dir.path, TaskId("kept"), rng);
    std::ofstream(kept.open() / "log") << "why";
    REQUIRE(kept.keep().ok());
    failed = kept.path();
  }
  CHECK(failed.filename().string().starts_with("failed-kept-"));
  Workspace in_use(dir.path, TaskId("busy"), rng);
  in_use.open();
  fs::create_directory(dir.path / "mine");
  std::ofstream(dir.path / "task-file") << "x";

  const CollectRules rules{.keep = 24h};
  Collected removed = collect_workspaces(dir.path, rules, now() + 1h);
  CHECK(removed.dead == 1);
  CHECK(removed.old + removed.crowded == 0);
  CHECK_FALSE(fs::exists(dead));
  CHECK(fs::exists(failed / "log"));
  removed = collect_workspaces(dir.path, rules, now() + 25h);
  CHECK(removed.old == 1);
  CHECK_FALSE(fs::exists(failed));
  CHECK(fs::exists(in_use.path()));
  CHECK(fs::exists(dir.path / "mine"));
  CHECK(fs::exists(dir.path / "task-file"));
  CHECK(collect_workspaces(dir.path / "none", rules, now()).dead == 0);
}

TEST_CASE("gc: a folder that is being made is nobody's leftover", "[node][gc]") {
  const pn::testing::TempFolder dir;
  // Between mkdir() and flock(), as Workspace::open() is for a moment.
  const UniqueFd all(::open(dir.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  REQUIRE(::flock(all.get(), LOCK_SH) == 0);
  fs::create_directory(dir.path / "task-t-1234");
  CHECK(collect_workspaces(dir.path, {}, now()).dead == 0);
  CHECK(fs::exists(dir.path / "task-t-1234"));
  REQUIRE(::flock(all.get(), LOCK_UN) == 0);
  CHECK(collect_workspaces(dir.path, {}, now()).dead == 1);
}

TEST_CASE("gc: a collector of another node never meets one who makes a folder", "[node][gc][mt]") {
  // A memory disk where there is one: it is the order that counts.
  const fs::path memory = "/dev/shm";
  const bool quick = ::access(memory.c_str(), W_OK) == 0;
  const pn::testing::TempFolder dir("pn-", quick ? memory : fs::temp_directory_path());
  std::atomic<bool> over{false};
  std::size_t dead = 0;
  std::thread collector([&] {
    while (!over) dead += collect_workspaces(dir.path, {}, now()).dead;
  });
  testing::FakeRng rng;
  int missing = 0;
  for (int i = 0; i < 2000; ++i) {
    Workspace workspace(dir.path, TaskId(std::to_string(i)), rng);
    try {
      if (!fs::exists(workspace.open())) ++missing;
    } catch (const WorkspaceFailure&) {
      ++missing;
    }
    if (!workspace.remove().ok()) ++missing;
  }
  over = true;
  collector.join();
  CHECK(missing == 0);
  CHECK(dead == 0);
}

TEST_CASE("gc: a disk that is needed takes what failed, the oldest first", "[node][gc]") {
  const pn::testing::TempFolder dir;
  testing::FakeRng rng;
  for (const char* id : {"a", "b"}) {
    Workspace kept(dir.path, TaskId(id), rng);
    kept.open();
    REQUIRE(kept.keep().ok());
  }
  const CollectRules roomy{.keep = 24h};
  CHECK(collect_workspaces(dir.path, roomy, now()).crowded == 0);
  // As the node leases: what is kept for root is not used.
  std::uint64_t free = 51;
  CollectRules narrow{.keep = 24h};
  narrow.limits.max_used_pct = 50;
  narrow.probe = [&free](const std::filesystem::path&) {
    return Space{.bytes = 100, .free_bytes = free};
  };
  CHECK(collect_workspaces(dir.path, narrow, now()).crowded == 0);
  free = 49;
  CHECK(collect_workspaces(dir.path, narrow, now()).crowded == 2);
  CHECK(dir.listing().empty());
}

TEST_CASE("gc: 500 attempts that died leave less than a MiB", "[node][gc]") {
  const pn::testing::TempFolder dir;
  testing::FakeRng rng;
  Config config;
  config.state_dir = dir.path / "state";
  config.work_dir = dir.path / "work";
  {
    const Result<OpenedState> first = open_state(config, log::Logger());
    REQUIRE(first.ok());
    std::vector<RowChange> leases;
    for (RowId id = 1; id <= 500; ++id) {
      Workspace workspace(config.work_dir, TaskId(std::to_string(id)), rng);
      std::ofstream(workspace.open() / "input") << std::string(20'000, 'x');
      JournalRow row;
      row.id = id;
      row.task = TaskId(std::to_string(id));
      row.body = std::string(500, 'b');
      leases.emplace_back(PutRow{row});
    }
    for (const RowChange& lease : leases) {
      const RowChange* const one = &lease;
      REQUIRE(first->database->write({&one, 1}, StateDb::Sync::lazy).ok());
    }
  }
  const Result<OpenedState> next = open_state(config, log::Logger());
  REQUIRE(next.ok());
  CHECK(next->rows.size() == 500);
  CHECK(next->rows[0].state == RowState::leased);
  CHECK((*next->database->load())[0].state == RowState::pending);
  // What is not acknowledged stays, whatever else goes.
  const CollectRules rules;
  CHECK(collect_workspaces(config.work_dir, rules, now()).dead == 500);
  REQUIRE(next->database->compact().ok());
  CHECK(next->database->load()->size() == 500);
  std::uintmax_t left = 0;
  for (const auto& entry : fs::recursive_directory_iterator(dir.path)) {
    if (entry.is_regular_file()) left += entry.file_size();
  }
  CHECK(left < 1024 * 1024);
}

}  // namespace pn::node
