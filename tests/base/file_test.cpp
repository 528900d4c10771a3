#include "base/file.hpp"

#include "base/result.hpp"

#include <cerrno>
#include <string>

#include <catch2/catch.hpp>

namespace pn {

TEST_CASE("from_errno: what this machine refuses is not the asker's fault", "[base]") {
  const auto [number, kind, code] = GENERATE(table<int, ErrorKind, std::string>({
      {ENOSPC, ErrorKind::full, "disk_full"},
      {EDQUOT, ErrorKind::full, "disk_full"},
      {ENOENT, ErrorKind::not_found, "file_missing"},
      {EACCES, ErrorKind::internal, "file_denied"},
      {EPERM, ErrorKind::internal, "file_denied"},
      {EROFS, ErrorKind::internal, "file_denied"},
      {EIO, ErrorKind::internal, "file_io"},
      {EMFILE, ErrorKind::internal, "file_io"},
  }));
  const Error error = from_errno(number, "cannot open x");
  INFO(number);
  CHECK(error.kind == kind);
  CHECK(error.code == code);
  CHECK(error.detail.starts_with("cannot open x: "));
}

}  // namespace pn
