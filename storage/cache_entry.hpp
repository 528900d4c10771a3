#pragma once

#include "base/result.hpp"
#include "storage/cache_index.hpp"
#include "storage/input_cache.hpp"

#include <cstdint>
#include <string>
#include <string_view>

#include <sys/stat.h>
#include <time.h>

namespace pn::storage {

// What makes a file an entry of an InputCache: its name, its mode, its times (input_cache.hpp).

std::string entry_name(const ItemVersion& version);
bool is_entry_name(std::string_view name);

/// Whether nobody has written to it since it was sealed under that name.
bool is_untouched(const struct stat& found, std::string_view name);
/// Makes the file what an entry is: read-only, marked, its content on the disk. Blocks.
Result<void> seal(int file, std::string_view name);

std::uint64_t size_of(const struct stat& found);
CacheIndex::UsedAt used_at(const struct stat& found);
timespec to_timespec(CacheIndex::UsedAt time);

}  // namespace pn::storage
