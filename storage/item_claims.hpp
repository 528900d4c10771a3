#pragma once

#include "base/awaitable.hpp"
#include "storage/domain_calls.hpp"
#include "storage/download_folder.hpp"
#include "storage/flights.hpp"
#include "storage/input_cache.hpp"
#include "storage/listing.hpp"

#include <cstddef>
#include <map>
#include <optional>
#include <vector>

namespace pn::storage {

/// One download's dealings with the cache: what it has is taken, what another download is fetching
/// is waited for, and what this one fetches is kept for the next. A cache that fails costs a
/// transfer and nothing else. Without a cache everything is ours to fetch. Thread: the loop's.
class ItemClaims final {
 public:
  /// `calls` outlives it.
  explicit ItemClaims(DomainCalls& calls) : calls_(calls) {}

  struct Turn {
    std::vector<std::size_t> ours;        ///< missing: to be fetched now
    std::optional<std::size_t> others{};  ///< one that is missing and on its way to the cache
    bool taken = false;                   ///< something came from the cache
  };
  /// Looks at what is missing. The claims on `ours` stay until released.
  Awaitable<Turn> take(Listing& listing, DownloadFolder& folder);
  /// Until nobody else fetches it. Only without claims (Flights).
  Awaitable<void> wait(const Listing& listing, std::size_t index);
  /// Hands what came to the cache.
  Awaitable<void> keep(const Listing& listing, std::vector<std::size_t> came);
  void release(std::size_t index) { claims_.erase(index); }
  void release_all() { claims_.clear(); }

 private:
  /// Nothing: the item cannot be told from its next version.
  [[nodiscard]] std::optional<ItemVersion> version(const Listing& listing, std::size_t index) const;

  DomainCalls& calls_;
  std::map<std::size_t, Flights::Claim> claims_;
};

}  // namespace pn::storage
