#include "node/config.hpp"
#include "tests/support/temp_folder.hpp"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include <catch2/catch.hpp>
#include <sys/stat.h>

namespace pn::node {
namespace {

using testing::TempFolder;

const char* const kKey = "4c0883a69102937d6231471b5dbb6204fe5129617082798ce3f4fdf2548b6f90";

Environment least() {
  return {{"REG_SECRET", "s3cret"}, {"SECP256K1_PRIVHEX", kKey}, {"STATE_DIR", "/s"}};
}

Host host() { return {.root = false, .build_version = "0.1.0", .uuid = "u-u-i-d"}; }

bool names(const std::vector<std::string>& faults, std::string_view what) {
  return std::any_of(faults.begin(), faults.end(), [&](const std::string& fault) {
    return fault.find(what) != std::string::npos;
  });
}

}  // namespace

TEST_CASE("secrets: they come from one place, which is named", "[node][config][secrets]") {
  const TempFolder folder("pn-credentials-");
  folder.write("reg_secret", "from-systemd\n");
  folder.write("secp256k1_privhex", std::string(kKey) + "\n");
  const auto origins = [](const ParsedConfig& parsed) {
    std::string out;
    for (const SecretOrigin& one : parsed.secrets) out += one.name + " <- " + one.where + "\n";
    return out;
  };
  Environment environment = least();
  CHECK(origins(parse_config(environment, host())) ==
        "REG_SECRET <- REG_SECRET\nSECP256K1_PRIVHEX <- SECP256K1_PRIVHEX\n");

  SECTION("systemd's credentials") {
    environment.erase("REG_SECRET");
    environment.erase("SECP256K1_PRIVHEX");
    environment["CREDENTIALS_DIRECTORY"] = folder.path.string();
    const ParsedConfig parsed = parse_config(environment, host());
    REQUIRE(parsed.faults.empty());
    CHECK(parsed.config.reg_secret.reveal() == "from-systemd");
    CHECK(parsed.config.private_key.reveal() == kKey);
    CHECK_THAT(origins(parsed), Catch::Contains("the credential secp256k1_privhex"));
  }
  SECTION("a folder of credentials without ours") {
    environment["CREDENTIALS_DIRECTORY"] = "/nonexistent";
    CHECK(parse_config(environment, host()).faults.empty());
  }
  SECTION("two of them") {
    environment["CREDENTIALS_DIRECTORY"] = folder.path.string();
    const ParsedConfig parsed = parse_config(environment, host());
    CHECK(names(parsed.faults, "REG_SECRET and the credential reg_secret"));
    environment.erase("REG_SECRET");
    environment["REG_SECRET_FILE"] = folder.file("reg_secret");
    CHECK(names(parse_config(environment, host()).faults,
                "REG_SECRET_FILE and the credential reg_secret"));
  }
  SECTION("a file that is open to all is told, and used") {
    environment.erase("REG_SECRET");
    environment["REG_SECRET_FILE"] = folder.file("reg_secret");
    REQUIRE(::chmod(folder.file("reg_secret").c_str(), 0644) == 0);
    const ParsedConfig open = parse_config(environment, host());
    CHECK(open.faults.empty());
    CHECK(names(open.doubts, "REG_SECRET_FILE=" + folder.file("reg_secret")));
    REQUIRE(::chmod(folder.file("reg_secret").c_str(), 0640) == 0);
    CHECK(parse_config(environment, host()).doubts.empty());
  }
}

}  // namespace pn::node
