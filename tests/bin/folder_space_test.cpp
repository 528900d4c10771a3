#include "bin/folder_space.hpp"

#include "node/config.hpp"
#include "node/node_cache.hpp"
#include "tests/support/temp_folder.hpp"

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

namespace pn::bin {
namespace {

constexpr std::uint64_t kMb = 1024 * 1024;

FolderSpace narrow() {
  FolderSpace out;
  out.setting = "WORK_DIR";
  out.free_bytes = 50 * kMb;
  out.used_bytes = 950 * kMb;
  out.used_pct = 95;
  return out;
}

}  // namespace

TEST_CASE("folder space: what cached inputs have counts as free", "[bin][cache]") {
  node::Config config;
  config.disk_min_free_mb = 100;
  config.disk_max_used_pct = 100;
  FolderSpace space = narrow();
  CHECK(fault_of(space, config).find("DISK_MIN_FREE_MB=100") != std::string::npos);
  space.cache_bytes = 50 * kMb;
  CHECK(fault_of(space, config).empty());
  config.disk_min_free_mb = 0;
  config.disk_max_used_pct = 90;
  CHECK(fault_of(space, config).empty());
  space.cache_bytes = 40 * kMb;
  CHECK(fault_of(space, config).find("91 % used") != std::string::npos);
  CHECK(describe(space).find("95 % used (40.0 MiB by cached inputs)") != std::string::npos);
}

TEST_CASE("folder space: the cache is measured without what workspaces have too", "[bin][cache]") {
  const testing::TempFolder dir;
  node::Config config;
  config.state_dir = dir.path / "state";
  config.work_dir = dir.path / "work";
  const std::filesystem::path cache = node::cache_folder(config);
  CHECK(node_folders(config.state_dir, config.work_dir, cache)[1].cache_bytes == 0);
  const std::filesystem::path used = dir.write("work/cache/used", std::string(kMb, 'x'));
  dir.write("work/cache/free", std::string(kMb, 'x'));
  std::filesystem::create_hard_link(used, dir.path / "work/input");
  const std::vector<FolderSpace> spaces = node_folders(config.state_dir, config.work_dir, cache);
  REQUIRE(spaces.size() == 2);
  CHECK(spaces[0].setting == "STATE_DIR");
  CHECK(spaces[1].cache_bytes >= kMb);
  CHECK(spaces[1].cache_bytes < kMb + kMb / 2);
  CHECK(spaces[0].cache_bytes == spaces[1].cache_bytes);  // one disk
}

}  // namespace pn::bin
