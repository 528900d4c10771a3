#include "node/config.hpp"
#include "tests/support/private_ca.hpp"
#include "tests/support/temp_folder.hpp"

#include <string>
#include <vector>

#include <catch2/catch.hpp>

// How servers are reached: what the rows of config_test.cpp do not say.

namespace pn::node {
namespace {

using pn::testing::PrivateCa;
using pn::testing::TempFolder;

ParsedConfig with(const Environment& more) {
  Environment all{{"REG_SECRET", "s3cret"},
                  {"SECP256K1_PRIVHEX", std::string(63, '0') + "1"},
                  {"STATE_DIR", "/s"}};
  for (const auto& [name, value] : more) all[name] = value;
  return parse_config(all,
                      {.root = false, .cores = 1, .build_version = "0.1.0", .uuid = "u-u-i-d"});
}

}  // namespace

TEST_CASE("config: EXTRA_CA_FILE must hold sound certificates", "[node][config]") {
  const TempFolder folder;
  const std::string good = folder.write("ca.pem", PrivateCa().certificate()).string();
  const ParsedConfig parsed = with({{"EXTRA_CA_FILE", good}});
  CHECK(parsed.faults.empty());
  CHECK(parsed.config.extra_ca_file == good);
  CHECK(with({}).config.extra_ca_file.empty());

  const std::string damaged =
      folder.write("damaged.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
          .string();
  const std::string empty = folder.write("empty.pem", "").string();
  for (const std::string& bad : {folder.file("none"), folder.path.string(), empty, damaged}) {
    INFO(bad);
    const std::vector<std::string> faults = with({{"EXTRA_CA_FILE", bad}}).faults;
    REQUIRE(faults.size() == 1);
    CHECK(faults[0].starts_with("EXTRA_CA_FILE=" + bad + ": "));
  }
  // What `run` would find one after another is told at once.
  CHECK(with({{"EXTRA_CA_FILE", empty}, {"HTTPS_PROXY", "http://p:99999"}, {"HTTP_PROXY", "a b"}})
            .faults.size() == 3);
}

TEST_CASE("config: proxies are read in lower case too", "[node][config]") {
  const ParsedConfig parsed =
      with({{"https_proxy", "http://low:1"}, {"HTTP_PROXY", "http://plain:2"}});
  REQUIRE(parsed.faults.empty());
  CHECK(client_options(parsed.config).https_proxy == "http://low:1");
  CHECK(client_options(parsed.config).http_proxy == "http://plain:2");
}

}  // namespace pn::node
