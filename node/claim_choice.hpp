#pragma once

#include "base/ids.hpp"
#include "base/time.hpp"

#include <chrono>
#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <vector>

namespace pn::node {

/// What one poll asks for.
struct ClaimAsk {
  std::optional<Capability> capability{};  ///< nothing: whatever there is
  std::chrono::seconds hold{0};            ///< how long the server may keep it; zero: not at all
  bool ends_round = true;  ///< with it, every capability that is open has been asked
};

/// Which capability to ask work for, and how long a server may hold the request. Pure.
///
/// While every capability may be leased, one request without a filter asks for all of them, and may
/// be held long. While some may not (at their cap, or paused by the breaker), the others are asked
/// for in turn, each by name and held shortly, so that no request for one keeps another waiting.
class ClaimChoice {
 public:
  /// `all`: what the node is registered for.
  ClaimChoice(std::vector<Capability> all,
              std::map<Capability, std::size_t> caps,
              std::chrono::seconds long_poll);

  /// `busy`: slots at work on each; `paused`: by the breaker. Nothing: no capability may be leased.
  std::optional<ClaimAsk> next(const std::map<Capability, std::size_t>& busy,
                               const std::set<Capability>& paused);

  [[nodiscard]] const std::vector<Capability>& all() const { return all_; }
  [[nodiscard]] std::optional<std::size_t> cap(const Capability& capability) const;

  /// A request for one of several is held no longer.
  static constexpr std::chrono::seconds kShortHold{2};

 private:
  const std::vector<Capability> all_;
  const std::map<Capability, std::size_t> caps_;
  const std::chrono::seconds long_poll_;
  std::optional<Capability> last_;  // asked for by name
  std::set<Capability> asked_;      // in this round
};

}  // namespace pn::node
