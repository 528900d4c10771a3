#include "base/file.hpp"

#include "base/result.hpp"
#include "tests/support/temp_folder.hpp"

#include <cerrno>
#include <cstdint>
#include <string>

#include <catch2/catch.hpp>
#include <fcntl.h>
#include <unistd.h>

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

TEST_CASE("write_all: a full disk is tried once more where room was made", "[base]") {
  const testing::TempFolder folder;
  UniqueFd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  REQUIRE(full);
  int asked = 0;
  SECTION("nobody makes any") {
    CHECK(write_all(full.get(), "12345").error().kind == ErrorKind::full);
  }
  SECTION("none is to be had, or it is not enough") {
    const bool made = GENERATE(false, true);
    const Result<void> written = write_all(full.get(), "12345", [&](std::uint64_t bytes) {
      CHECK(bytes == 5);
      ++asked;
      return made;
    });
    REQUIRE_FALSE(written.ok());
    CHECK(written.error().kind == ErrorKind::full);
    CHECK(asked == 1);
  }
  SECTION("there is room then") {
    const Result<UniqueFd> roomy = create_new(folder.path / "file");
    REQUIRE(roomy.ok());
    const auto make_room = [&](std::uint64_t) { return ::dup2(roomy->get(), full.get()) >= 0; };
    CHECK(write_all(full.get(), "12345", make_room).ok());
    CHECK(testing::TempFolder::read(folder.path / "file") == "12345");
  }
}

}  // namespace pn
