#include "tests/bin/doctor_setups.hpp"
#include "tests/bin/doctor_support.hpp"
#include "tests/support/child.hpp"
#include "tests/support/fault_proxy.hpp"
#include "tests/support/temp_folder.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

// The real binary in set-ups that are broken in one way each: it names the right one, says what to
// do, and prints no secret.

using namespace pn;           // NOLINT(google-build-using-namespace)
using namespace pn::testing;  // NOLINT(google-build-using-namespace)
using namespace std::chrono_literals;

namespace {

ChildResult doctor(const World& world, std::vector<std::string> more) {
  std::vector<std::string> arguments{POSENODE_BINARY, "doctor", "--timeout", "0.5"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  Child child(arguments, world.settings);
  return child.wait(25s);
}

std::string text_of(const nlohmann::json& finding) {
  return finding["tried"].get<std::string>() + " " + finding["got"].get<std::string>() + " " +
         finding["remedies"].dump();
}

void check_no_secret(const ChildResult& result) {
  for (const char* secret : {kKey, kRegSecret, kProxyPassword, kAppSecret, "node-token-"}) {
    INFO(secret);
    CHECK(result.out.find(secret) == std::string::npos);
    CHECK(result.err.find(secret) == std::string::npos);
  }
}

}  // namespace

TEST_CASE("doctor: each broken set-up is named, with what to do", "[bin][doctor]") {
  for (const Broken& broken : set_ups()) {
    DYNAMIC_SECTION(broken.name) {
      World world;
      broken.set_up(world);
      const auto begun = std::chrono::steady_clock::now();
      const ChildResult result = doctor(world, {"--json"});
      CHECK(std::chrono::steady_clock::now() - begun < 5s);  // of 20 s with the usual time-outs
      INFO(result.out << result.err);
      REQUIRE(nlohmann::json::accept(result.out));
      const nlohmann::json report = nlohmann::json::parse(result.out);
      CHECK(result.code == broken.code);
      CHECK(report["exit_code"] == broken.code);
      for (const nlohmann::json& finding : report["checks"]) {
        if (finding["verdict"] == "fail") CHECK_FALSE(finding["remedies"].empty());
        if (finding["check"] != broken.check) continue;
        CHECK(finding["verdict"] == broken.verdict);
        CHECK_THAT(text_of(finding), Catch::Contains(broken.says));
      }
      check_no_secret(result);
    }
  }
}

TEST_CASE("doctor: nothing is wrong with a set-up that is right", "[bin][doctor]") {
  World world;
  world.serve();
  const ChildResult result = doctor(world, {});
  INFO(result.out << result.err);
  CHECK(result.code == 0);
  CHECK_THAT(result.out, Catch::Contains("Nothing is wrong here, but for 1 warning."));
  CHECK_THAT(result.out, Catch::Contains("colmap"));  // the warning
  CHECK_FALSE(std::filesystem::exists(world.folder.file("state")));
  check_no_secret(result);
}

TEST_CASE("doctor: it ends in time when everything hangs", "[bin][doctor]") {
  World world;
  const Peer silent(nullptr);
  const std::string url = "http://" + silent.at();
  world.settings["DDS_BASE_URL"] = url;
  world.settings["DMS_BASE_URL"] = url + "/v1";
  world.settings["STATUS_ADDR"] = silent.at();
  for (const char* name : {"APP_KEY", "DOMAIN_ID"}) world.settings[name] = "x";
  world.settings["APP_SECRET"] = kAppSecret;
  const auto begun = std::chrono::steady_clock::now();
  const ChildResult result = doctor(world, {});
  CHECK(std::chrono::steady_clock::now() - begun < 5s);
  CHECK(result.code == 2);  // what is at STATUS_ADDR is no node
  check_no_secret(result);
}

TEST_CASE("doctor: what its storage check put is removed when its time ends in the middle",
          "[bin][doctor]") {
  const TempFolder folder;
  const int port = closed_port();
  boost::asio::io_context context(1);
  // Nothing that was put can be fetched.
  FaultProxy proxy(context,
                   static_cast<std::uint16_t>(port),
                   [](std::string_view method, std::string_view path) {
                     const bool fetch = path.find("raw=true") != std::string_view::npos;
                     return method == "GET" && fetch ? Fault::hang : Fault::none;
                   });
  const std::string env = folder.file("market.env");
  Child market({POSENODE_BINARY,
                "market",
                "--listen",
                "127.0.0.1:" + std::to_string(port),
                "--public-url",
                proxy.url(),
                "--data",
                folder.file("market"),
                "--write-env",
                env},
               {{"PATH", "/usr/bin:/bin"}});
  REQUIRE(market.wait_for("(for --env-file)\n", 20s));
  std::thread turning([&] { context.run(); });
  const auto command = [&](std::vector<std::string> words) {
    words.insert(words.begin(), POSENODE_BINARY);
    words.insert(words.end(), {"--json", "--env-file", env});
    World world;
    Child child(words, world.settings_of_a_client());
    return child.wait(25s);
  };
  const ChildResult examined = command({"doctor", "--timeout", "1.5"});
  const ChildResult left = command({"data", "ls"});
  context.stop();
  turning.join();
  INFO(examined.out << examined.err);
  REQUIRE(nlohmann::json::accept(examined.out));
  const nlohmann::json report = nlohmann::json::parse(examined.out);
  const auto storage = std::ranges::find_if(report["checks"], [](const nlohmann::json& finding) {
    return finding["check"] == "storage";
  });
  REQUIRE(storage != report["checks"].end());
  CHECK((*storage)["verdict"] == "fail");
  INFO(left.out << left.err);
  CHECK(left.code == 0);
  CHECK(left.out.find("posenode_doctor") == std::string::npos);
}
