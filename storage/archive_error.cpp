#include "storage/archive_error.hpp"

#include "base/file.hpp"
#include "base/result.hpp"

#include <cerrno>
#include <string>
#include <string_view>

#include <archive.h>
#include <archive_entry.h>

namespace pn::storage {

Error from_archive(int error_number, std::string_view said, std::string_view what) {
  const std::string detail =
      std::string(what) + ": " + (said.empty() ? "it cannot be read" : std::string(said));
  // libzstd's words: its window would not fit into the memory that libarchive lets it have.
  if (said.find("requires too much memory") != std::string_view::npos) {
    return archive_dictionary(what);
  }
  switch (error_number) {
    case ENOSPC:
    case EDQUOT:
    case ENOENT:
    case EACCES:
    case EPERM:
    case EIO:
      return from_errno(error_number, what);
    case ENOMEM:
      return {ErrorKind::internal, "archive_memory", detail};
    case EINVAL:  // when libarchive was called wrongly, but of a damaged tar too
      if (said.starts_with("INTERNAL ERROR")) {
        return {ErrorKind::internal, "archive_misuse", detail};
      }
      [[fallthrough]];
    default:
      return {ErrorKind::corrupt, "archive_damaged", detail};
  }
}

Error from_archive(archive* handle, std::string_view what) {
  const char* said = archive_error_string(handle);
  return from_archive(archive_errno(handle), said == nullptr ? "" : said, what);
}

Error archive_refused(std::string_view code, std::string_view entry, std::string_view why) {
  return {ErrorKind::rejected,
          "archive_" + std::string(code),
          "archive entry " + std::string(entry.substr(0, 200)) + ": " + std::string(why)};
}

Error archive_dictionary(std::string_view what) {
  return {ErrorKind::rejected,
          "archive_dictionary",
          std::string(what) +
              ": it needs more than 128 MiB of memory to unpack; pack it with a smaller dictionary "
              "(xz -6, zstd without --long)"};
}

Error archive_stopped() { return {ErrorKind::retry, "stopped", "stopped on request"}; }

void ArchiveFree::operator()(archive* handle) const { archive_free(handle); }
void ArchiveFree::operator()(archive_entry* entry) const { archive_entry_free(entry); }

}  // namespace pn::storage
