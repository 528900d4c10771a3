#include "base/encoding.hpp"

#include "base/digest.hpp"

#include <string>
#include <vector>

#include <catch2/catch.hpp>

namespace pn {

TEST_CASE("encoding: RFC 4648 test vectors, both alphabets", "[base]") {
  const auto [plain, encoded] = GENERATE(table<std::string, std::string>({{"", ""},
                                                                          {"f", "Zg=="},
                                                                          {"fo", "Zm8="},
                                                                          {"foo", "Zm9v"},
                                                                          {"foob", "Zm9vYg=="},
                                                                          {"fooba", "Zm9vYmE="},
                                                                          {"foobar", "Zm9vYmFy"}}));
  CHECK(to_base64(plain) == encoded);
  CHECK(from_base64(encoded) == plain);
  const std::string unpadded = encoded.substr(0, encoded.find('='));
  CHECK(to_base64url(plain) == unpadded);
  CHECK(from_base64url(unpadded) == plain);
}

TEST_CASE("encoding: what is no base64 is refused", "[base]") {
  CHECK_FALSE(from_base64("Zg="));
  CHECK_FALSE(from_base64("Z==="));
  CHECK_FALSE(from_base64url("Z"));
  CHECK_FALSE(from_base64url("Zh"));  // bits left over that are not zero
  CHECK_FALSE(from_base64url("Zm9v="));
}

TEST_CASE("encoding: hex and percent", "[base]") {
  CHECK(from_hex("0xAbcD") == std::vector<unsigned char>{0xAB, 0xCD});
  CHECK_FALSE(from_hex("abc"));
  CHECK_FALSE(from_hex("zz"));
  CHECK(percent_encode("a b/ü?") == "a%20b%2F%C3%BC%3F");
  CHECK(percent_decode("a%20b%2f+") == "a b/+");
  CHECK(percent_decode("%41") == "A");
  CHECK_FALSE(percent_decode("%4"));
  CHECK_FALSE(percent_decode("%zz"));
}

TEST_CASE("digest: FIPS 180 vector", "[base]") {
  CHECK(sha256_hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

}  // namespace pn
