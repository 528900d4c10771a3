#include "market/part_etag.hpp"

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

#include <catch2/catch.hpp>

namespace pn::market {
namespace {

std::string etag_of(std::string_view bytes, std::size_t piece) {
  PartEtag etag;
  for (; !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size()))) {
    etag.update(bytes.substr(0, piece));
  }
  return etag.finish();
}

}  // namespace

TEST_CASE("part_etag: bytes decide, not the pieces they came in", "[market][data]") {
  const std::string bytes(1000, 'x');
  const std::string etag = etag_of(bytes, 1000);
  CHECK(etag.size() == 32);
  CHECK(etag.find_first_not_of("0123456789abcdef") == std::string::npos);
  for (const std::size_t piece : {1U, 7U, 16U, 999U}) CHECK(etag_of(bytes, piece) == etag);
  std::string other = bytes;
  other[500] = 'y';
  CHECK(etag_of(other, 1000) != etag);
  CHECK(etag_of(std::string_view(bytes).substr(1), 1000) != etag);
  CHECK(etag_of(bytes + '\0', 1000) != etag);
}

TEST_CASE("part_etag: it is the same in every version, for uploads that outlive one",
          "[market][data]") {
  CHECK(etag_of("abc", 3) == "0ebb8e30a67ca647cb6d8ff8df2b0420");
}

}  // namespace pn::market
