#include "market/upload_digest.hpp"

#include "base/digest.hpp"
#include "base/file.hpp"
#include "tests/support/temp_folder.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>

namespace pn::market {
namespace {

constexpr std::size_t kPart = 1000;

/// An upload's file, whose parts are written in any order.
struct Assembly {
  void write(std::size_t part, char fill, std::size_t size = kPart) {
    digest.begin(part * kPart);
    bytes.resize(std::max(bytes.size(), part * kPart + size));
    bytes.replace(part * kPart, size, size, fill);
    REQUIRE(write_file(path, bytes).ok());
    follows = digest.end(part * kPart, size);
  }
  std::optional<std::string> finish() { return digest.finish(path, bytes.size()); }

  testing::TempFolder folder;
  std::filesystem::path path = folder.path / "upload";
  std::string bytes;
  UploadDigest digest;
  bool follows = false;
};

}  // namespace

TEST_CASE("upload_digest: parts in order are taken in as they come", "[market][data]") {
  Assembly upload;
  for (std::size_t part = 0; part < 3; ++part) {
    upload.write(part, static_cast<char>('a' + part));
    CHECK(upload.follows);
    CHECK_FALSE(upload.digest.follow(upload.path));  // and there is no more for now
  }
  REQUIRE(write_file(upload.path, "read already").ok());
  CHECK(upload.finish() == sha256_hex(upload.bytes));
}

TEST_CASE("upload_digest: parts out of order wait for the one before them", "[market][data]") {
  Assembly upload;
  upload.write(2, 'c', 7);
  CHECK_FALSE(upload.follows);
  upload.write(1, 'b');
  CHECK_FALSE(upload.follows);
  CHECK_FALSE(upload.digest.follow(upload.path));
  upload.write(0, 'a');
  CHECK(upload.follows);
  CHECK(upload.digest.follow(upload.path));  // the second is whole too
  CHECK(upload.finish() == sha256_hex(upload.bytes));
}

TEST_CASE("upload_digest: a part sent again counts as it is last", "[market][data]") {
  Assembly upload;
  upload.write(1, 'x');
  upload.write(1, 'b');
  upload.write(0, 'a');
  CHECK(upload.finish() == sha256_hex(upload.bytes));
}

TEST_CASE("upload_digest: nothing is answered of what it has not seen as it is", "[market][data]") {
  Assembly upload;
  upload.write(0, 'a');
  SECTION("a part that was read already is written again") {
    upload.digest.follow(upload.path);
    upload.write(0, 'b');
    CHECK_FALSE(upload.follows);
  }
  SECTION("a part came before a restart") { upload.write(2, 'c'); }
  SECTION("a part broke off") {
    upload.write(1, 'b');
    upload.digest.begin(kPart);
  }
  SECTION("the file is shorter than its parts") { REQUIRE(write_file(upload.path, "a").ok()); }
  SECTION("the file is gone") { std::filesystem::remove(upload.path); }
  CHECK(upload.finish() == std::nullopt);
}

TEST_CASE("upload_digest: parts come on several threads while others read", "[market][data][mt]") {
  const auto seed = std::random_device{}();
  INFO("seed " << seed);
  constexpr std::size_t kParts = 64;
  Assembly upload;
  for (std::size_t part = 0; part < kParts; ++part) {
    upload.bytes.append(kPart, static_cast<char>('0' + part));
  }
  REQUIRE(write_file(upload.path, upload.bytes).ok());
  std::vector<std::size_t> order(kParts);
  for (std::size_t part = 0; part < kParts; ++part) order[part] = part;
  std::shuffle(order.begin(), order.end(), std::mt19937(seed));
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    for (std::size_t at = next++; at < kParts; at = next++) {
      const std::uint64_t offset = order[at] * kPart;
      upload.digest.begin(offset);
      bool more = upload.digest.end(offset, kPart);
      while (more) more = upload.digest.follow(upload.path);
    }
  };
  std::thread other(work);
  work();
  other.join();
  CHECK(upload.finish() == sha256_hex(upload.bytes));
}

}  // namespace pn::market
