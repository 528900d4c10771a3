#pragma once

#include "base/result.hpp"

#include <cstddef>
#include <filesystem>
#include <string_view>

#include <locale.h>  // NOLINT(modernize-deprecated-headers): locale_t

namespace pn::storage {

/// How deep folders of an archive may be nested unless someone says otherwise.
constexpr std::size_t kArchiveDepth = 16;

/// Where an entry of this name goes below the folder; empty for the folder itself ("./"). Kind
/// `rejected`, code "archive_path": absolute, "..", backslashes, too deep, too long for a file
/// system. The same rule for archives that are read and that are written.
Result<std::filesystem::path> archive_path(std::string_view name, std::size_t max_depth);

/// While it lives, names are UTF-8 on this thread: libarchive goes by the thread's locale, and in
/// that of a program which sets none it has no name for "Köln/". Not setlocale(), which would
/// change every thread's numbers and messages too.
class Utf8Names final {
 public:
  Utf8Names();
  ~Utf8Names();
  Utf8Names(const Utf8Names&) = delete;
  Utf8Names& operator=(const Utf8Names&) = delete;

 private:
  locale_t before_ = nullptr;
};

}  // namespace pn::storage
