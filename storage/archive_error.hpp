#pragma once

#include "base/result.hpp"

#include <memory>
#include <string_view>

struct archive;        // NOLINT(readability-identifier-naming): libarchive's name
struct archive_entry;  // NOLINT(readability-identifier-naming)

namespace pn::storage {

/// A failure of libarchive: its errno-like number and its sentence. The one mapping of it.
Error from_archive(int error_number, std::string_view said, std::string_view what);
/// The same of a handle's last failure.
Error from_archive(archive* handle, std::string_view what);

/// Kind `rejected`, code "archive_<code>": what `entry` asks for is not accepted.
Error archive_refused(std::string_view code, std::string_view entry, std::string_view why);
/// Kind `rejected`, code "archive_dictionary".
Error archive_dictionary(std::string_view what);
/// What a `stop` flag answers.
Error archive_stopped();

struct ArchiveFree {
  void operator()(archive* handle) const;
  void operator()(archive_entry* entry) const;
};
using ArchiveHandle = std::unique_ptr<archive, ArchiveFree>;
using ArchiveEntryHandle = std::unique_ptr<archive_entry, ArchiveFree>;

}  // namespace pn::storage
