#include "runners/sfm/matches.hpp"

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <utility>
#include <vector>

namespace pn::runners::sfm {
namespace {

/// Nobody moved: within the noise of a key point. The wider limit also takes those that are found a
/// little beside themselves (soft edges).
constexpr double kPeakPx = 0.7;
constexpr double kStillPx = 2.0;
constexpr std::size_t kFewestMatches = 30;

struct Shares {
  std::size_t peak = 0;
  std::size_t still = 0;
  std::size_t all = 0;

  /// Some stand still, some have moved: this pair tells them apart.
  [[nodiscard]] bool tells() const {
    return still >= kFewestMatches / 2 && still * 10 > all && still * 10 < all * 8 &&
           peak * 2 > still;
  }
};

struct Votes {
  std::uint32_t still = 0;
  std::uint32_t moved = 0;
};

double moved_by(const MatchTable& table,
                const PairMatches& pair,
                std::array<std::uint32_t, 2> match) {
  const auto& a = table.key_points.at(pair.first).at(match[0]);
  const auto& b = table.key_points.at(pair.second).at(match[1]);
  return std::hypot(static_cast<double>(a[0] - b[0]), static_cast<double>(a[1] - b[1]));
}

Shares shares_of(const MatchTable& table, const PairMatches& pair) {
  Shares out;
  out.all = pair.matches.size();
  for (const auto& match : pair.matches) {
    const double distance = moved_by(table, pair, match);
    if (distance < kPeakPx) ++out.peak;
    if (distance < kStillPx) ++out.still;
  }
  return out;
}

/// Of each photo's key points.
using Ballot = std::unordered_map<std::uint32_t, std::vector<Votes>>;

Ballot count_votes(const MatchTable& table, const std::vector<const PairMatches*>& telling) {
  Ballot votes;
  for (const auto& [photo, points] : table.key_points) votes[photo].resize(points.size());
  for (const PairMatches* pair : telling) {
    auto& first = votes.at(pair->first);
    auto& second = votes.at(pair->second);
    for (const auto& match : pair->matches) {
      const bool still = moved_by(table, *pair, match) < kStillPx;
      ++(still ? first[match[0]].still : first[match[0]].moved);
      ++(still ? second[match[1]].still : second[match[1]].moved);
    }
  }
  return votes;
}

}  // namespace

StillBackground find_still_background(const MatchTable& table) {
  StillBackground out;
  std::vector<const PairMatches*> telling;
  std::size_t matched_pairs = 0;
  std::size_t nothing_moved = 0;
  for (const PairMatches& pair : table.pairs) {
    out.matches += pair.matches.size();
    if (pair.matches.size() < kFewestMatches) continue;
    ++matched_pairs;
    const Shares shares = shares_of(table, pair);
    if (shares.tells())
      telling.push_back(&pair);
    else if (shares.still * 10 >= shares.all * 8)
      ++nothing_moved;
  }
  // Photos taken before anything moved say nothing either way.
  out.found = telling.size() >= 2 && telling.size() * 10 > (matched_pairs - nothing_moved) * 6;
  if (!out.found) return out;

  const Ballot votes = count_votes(table, telling);
  const auto background = [&](std::uint32_t photo, std::uint32_t point) {
    const Votes& vote = votes.at(photo)[point];
    return vote.still > 0 && vote.still >= vote.moved;
  };
  for (const PairMatches& pair : table.pairs) {
    PairMatches kept{.first = pair.first, .second = pair.second, .matches = {}};
    for (const auto& match : pair.matches) {
      if (!background(pair.first, match[0]) && !background(pair.second, match[1])) {
        kept.matches.push_back(match);
      }
    }
    out.dropped += pair.matches.size() - kept.matches.size();
    if (!kept.matches.empty()) out.kept.push_back(std::move(kept));
  }
  return out;
}

}  // namespace pn::runners::sfm
