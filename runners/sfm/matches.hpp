#pragma once

#include "base/result.hpp"

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace pn::runners::sfm {

/// Which key points of two photos look alike, before any geometry.
struct PairMatches {
  std::uint32_t first = 0;  ///< photo ids
  std::uint32_t second = 0;
  std::vector<std::array<std::uint32_t, 2>> matches;  ///< key point of the first, of the second
};

/// COLMAP's database after matching, as far as we look into it.
struct MatchTable {
  std::unordered_map<std::uint32_t, std::string> names;
  std::unordered_map<std::uint32_t, std::vector<std::array<float, 2>>> key_points;  ///< x, y
  std::vector<PairMatches> pairs;
};

/// How many matches and key points there are. Kind `internal`, code "bad_database". Blocks,
/// shortly.
Result<std::uint64_t> count_rows(const std::filesystem::path& database);

/// The most that are worth the node's memory, at some 30 bytes each when all is done: 2,000 each
/// for 10,000 pairs of photos.
inline constexpr std::uint64_t kMostRows = 20'000'000;

/// Kind `internal`, code "bad_database". Blocks, and holds all matches: 8 bytes each. Ask
/// count_rows() before.
Result<MatchTable> read_matches(const std::filesystem::path& database);

/// Forgets matches and verified geometry; key points stay. Blocks.
Result<void> clear_matches(const std::filesystem::path& database);

/// As `colmap matches_importer --match_type raw` reads them.
std::string to_match_list(const MatchTable& table, const std::vector<PairMatches>& pairs);

/// The background that stands still while an object turns or slides before a fixed camera.
///
/// Such photos are no rigid scene: the background says that the camera never moved, the object that
/// it did. COLMAP then bends both into one model with a large error. What tells them apart is a
/// sharp peak of matches that did not move at all, in most pairs, beside matches that did; a camera
/// that moves, in the hand or on a car, leaves no such peak.
struct StillBackground {
  bool found = false;
  std::size_t matches = 0;  ///< before
  std::size_t dropped = 0;
  std::vector<PairMatches> kept;  ///< without the background's key points; when found
};

StillBackground find_still_background(const MatchTable& table);

}  // namespace pn::runners::sfm
