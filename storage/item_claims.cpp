#include "storage/item_claims.hpp"

#include "base/awaitable.hpp"
#include "base/file.hpp"
#include "base/log.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "storage/domain_calls.hpp"
#include "storage/domain_json.hpp"
#include "storage/download_folder.hpp"
#include "storage/flights.hpp"
#include "storage/input_cache.hpp"
#include "storage/listing.hpp"

#include <atomic>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace pn::storage {
namespace {

std::string key_of(const ItemVersion& version) {
  return version.server + '\n' + version.domain.str() + '\n' + version.id.str() + '\n' +
         version.updated_at + '\n' + std::to_string(version.size) + '\n' + version.sha256;
}

struct Wanted {
  std::size_t index;
  ItemVersion version;
  std::filesystem::path path;
};

/// Which of them the cache had, as far as it came before `stop`: each may be a copy of gigabytes.
/// The first failure in `failed`.
std::vector<bool> take_each(InputCache& cache,
                            DownloadFolder& folder,
                            const std::vector<Wanted>& wanted,
                            std::optional<Error>& failed,
                            const std::atomic<bool>& stop) {
  std::vector<bool> out(wanted.size(), false);
  for (std::size_t i = 0; i < wanted.size() && !stop; ++i) {
    Result<void> ready = folder.make();
    if (ready.ok()) ready = make_folders(wanted[i].path.parent_path());
    const Result<bool> hit =
        ready.ok() ? cache.take(wanted[i].version, wanted[i].path) : Result<bool>(ready.error());
    out[i] = hit.ok() && *hit;
    if (!hit.ok() && !failed) failed = hit.error();
  }
  return out;
}

}  // namespace

std::optional<ItemVersion> ItemClaims::version(const Listing& listing, std::size_t index) const {
  const DataItem& item = listing.at(index).item;
  const DomainClientParts& parts = calls_.parts();
  if (parts.cache == nullptr || parts.flights == nullptr || item.updated_at.empty()) {
    return std::nullopt;
  }
  ItemVersion out;
  out.server = calls_.server().str();
  out.domain = calls_.domain();
  out.id = item.id;
  out.updated_at = item.updated_at;
  out.size = item.size;
  out.sha256 = item.sha256;
  return out;
}

Awaitable<ItemClaims::Turn> ItemClaims::take(Listing& listing, DownloadFolder& folder) {
  Turn out;
  std::vector<Wanted> wanted;
  for (const std::size_t index : listing.missing()) {
    std::optional<ItemVersion> known = version(listing, index);
    if (!known || claims_.contains(index)) {
      out.ours.push_back(index);
      continue;
    }
    std::optional<Flights::Claim> claim = calls_.parts().flights->claim(key_of(*known));
    if (!claim) {
      if (!out.others) out.others = index;
      continue;
    }
    claims_.emplace(index, *std::move(claim));
    wanted.push_back(
        Wanted{.index = index, .version = *std::move(known), .path = listing.at(index).path});
  }
  if (wanted.empty()) co_return out;

  std::optional<Error> failed;
  InputCache& cache = *calls_.parts().cache;
  const auto work = [&](const std::atomic<bool>& stop) {
    return take_each(cache, folder, wanted, failed, stop);
  };
  const std::vector<bool> hits = co_await offload_stoppable(calls_.parts().files, work);
  if (failed) calls_.parts().logger.warn("storage.cache_failed", {log::field(*failed)});
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const std::size_t index = wanted[i].index;
    if (!hits[i]) {
      out.ours.push_back(index);
      continue;
    }
    Listing::Entry& entry = listing.at(index);
    entry.file = file_of(entry);
    claims_.erase(index);
    out.taken = true;
  }
  co_return out;
}

Awaitable<void> ItemClaims::wait(const Listing& listing, std::size_t index) {
  const std::optional<ItemVersion> known = version(listing, index);
  if (!known) co_return;
  std::string key = key_of(*known);
  co_await calls_.parts().flights->wait(std::move(key));
}

Awaitable<void> ItemClaims::keep(const Listing& listing, std::vector<std::size_t> came) {
  std::vector<Wanted> kept;
  for (const std::size_t index : came) {
    std::optional<ItemVersion> known = version(listing, index);
    if (!known) continue;
    kept.push_back(
        Wanted{.index = index, .version = *std::move(known), .path = listing.at(index).path});
  }
  if (kept.empty()) co_return;
  InputCache& cache = *calls_.parts().cache;
  const auto work = [&](const std::atomic<bool>& stop) -> std::optional<Error> {
    for (const Wanted& one : kept) {
      if (stop) break;
      const Result<void> done = cache.keep(one.version, one.path);
      if (!done.ok()) return done.error();
    }
    return std::nullopt;
  };
  const std::optional<Error> failed = co_await offload_stoppable(calls_.parts().files, work);
  if (failed) calls_.parts().logger.warn("storage.cache_failed", {log::field(*failed)});
}

}  // namespace pn::storage
