#include "base/file.hpp"
#include "node/settings.hpp"
#include "tests/support/child.hpp"
#include "tests/support/temp_folder.hpp"

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

using namespace pn;           // NOLINT(google-build-using-namespace)
using namespace pn::testing;  // NOLINT(google-build-using-namespace)

namespace {

using Settings = std::map<std::string, std::string>;

/// The real binary, with nothing of our environment but what a test names.
ChildResult posenode(std::vector<std::string> arguments, Settings environment = {}) {
  arguments.insert(arguments.begin(), POSENODE_BINARY);
  environment.try_emplace("PATH", "/usr/bin:/bin");
  Child child(arguments, environment);
  return child.wait();
}

Settings client_settings() {
  return {{"DDS_BASE_URL", "http://127.0.0.1:1"},
          {"DMS_BASE_URL", "http://127.0.0.1:1/v1"},
          {"APP_KEY", "k"},
          {"APP_SECRET", "s3cr3t"},
          {"DOMAIN_ID", "d"}};
}

std::size_t lines(const std::string& text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

}  // namespace

TEST_CASE("cli: an unknown command or option is one line and exit code 2", "[bin][cli]") {
  const std::vector<std::string> bad = GENERATE(std::vector<std::string>{},
                                                std::vector<std::string>{"nonsense"},
                                                std::vector<std::string>{"run", "--nonsense"},
                                                std::vector<std::string>{"job"},
                                                std::vector<std::string>{"job", "show"},
                                                std::vector<std::string>{"version", "extra"});
  const ChildResult result = posenode(bad);
  CHECK(result.code == 2);
  CHECK(result.err.starts_with("posenode: "));
  CHECK(lines(result.err) == 1);
  CHECK(result.out.empty());
}

TEST_CASE("cli: help of run lists every setting", "[bin][cli]") {
  const ChildResult result = posenode({"run", "--help"});
  CHECK(result.code == 0);
  for (const node::Setting& row : node::settings()) {
    INFO(row.name);
    CHECK(result.out.find("  " + std::string(row.name) + " ") != std::string::npos);
  }
}

TEST_CASE("cli: version, for people and for programs", "[bin][cli]") {
  const ChildResult text = posenode({"version"});
  CHECK(text.code == 0);
  CHECK(text.out.starts_with("posenode 0."));
  CHECK(posenode({"--version"}).out.starts_with("posenode 0."));
  const auto json = nlohmann::json::parse(posenode({"version", "--json"}).out);
  CHECK(json["version"].is_string());
  CHECK(json["compiler"].is_string());
}

TEST_CASE("cli: keygen makes a key that is a file's content, and its address", "[bin][cli]") {
  const ChildResult text = posenode({"keygen"});
  CHECK(text.code == 0);
  CHECK(text.out.size() == 65);
  CHECK(text.out.find_first_not_of("0123456789abcdef\n") == std::string::npos);
  CHECK(text.err.find("0x") != std::string::npos);
  const auto json = nlohmann::json::parse(posenode({"keygen", "--json"}).out);
  CHECK(json["SECP256K1_PRIVHEX"].get<std::string>().size() == 64);
  CHECK(json["address"].get<std::string>().size() == 42);

  const TempFolder folder;
  const std::string file = folder.file("key");
  const ChildResult written = posenode({"keygen", "--out", file});
  CHECK(written.code == 0);
  CHECK(std::filesystem::file_size(file) == 65);
  CHECK((std::filesystem::status(file).permissions() & std::filesystem::perms::mask) ==
        (std::filesystem::perms::owner_read | std::filesystem::perms::owner_write));
  CHECK(posenode({"keygen", "--out", file}).code == 2);  // never over another key
}

TEST_CASE("cli: a key that cannot be written is no success", "[bin][cli]") {
  const TempFolder folder;
  const auto shell = [&](const std::string& script) {
    Child child({"/bin/sh", "-c", script, POSENODE_BINARY, folder.file("key")},
                {{"PATH", "/usr/bin:/bin"}});
    return child.wait();
  };
  const ChildResult lost = shell(R"(exec "$0" keygen --json >/dev/full)");
  CHECK(lost.code == 1);
  CHECK(lost.err.find("standard output") != std::string::npos);
  CHECK(lines(lost.err) == 1);
  CHECK(shell(R"(exec "$0" run --help >/dev/full)").code == 1);
  // No part of a key is left.
  const ChildResult cut = shell(R"(trap '' XFSZ; ulimit -f 0; exec "$0" keygen --out "$1")");
  CHECK(cut.code == 1);
  CHECK(lines(cut.err) == 1);
  CHECK_FALSE(std::filesystem::exists(folder.file("key")));
  // A reader that has seen enough is no fault.
  const ChildResult closed = shell(R"({ sleep 0.1; "$0" version; echo $? >&2; } | :)");
  CHECK(closed.err == "0\n");
}

TEST_CASE("cli: run says every fault of its configuration at once, and no secret", "[bin][cli]") {
  const ChildResult result = posenode({"run"},
                                      {{"SECP256K1_PRIVHEX", "not-a-key-at-all"},
                                       {"TOKEN_SAFETY_RATIO", "7"},
                                       {"MAX_CONCURRENCY", "many"},
                                       {"HOME", "/nonexistent"}});
  CHECK(result.code == 2);
  for (const char* name :
       {"REG_SECRET", "SECP256K1_PRIVHEX", "TOKEN_SAFETY_RATIO=7", "MAX_CONCURRENCY=many"}) {
    INFO(name);
    CHECK(result.err.find("posenode: " + std::string(name)) != std::string::npos);
  }
  CHECK(result.err.find("not-a-key-at-all") == std::string::npos);
}

TEST_CASE("cli: client commands say what is not set, at once", "[bin][cli]") {
  const std::vector<std::string> command = GENERATE(std::vector<std::string>{"job", "list"},
                                                    std::vector<std::string>{"job", "show", "x"},
                                                    std::vector<std::string>{"data", "ls"});
  const ChildResult result = posenode(command);
  CHECK(result.code == 2);
  CHECK(lines(result.err) == 3);
}

TEST_CASE("cli: an environment file that cannot be used is named with its lines", "[bin][cli]") {
  const TempFolder folder;
  REQUIRE(write_file(folder.file("x.env"), "A=1\nB C\n").ok());
  const ChildResult bad = posenode({"job", "list", "--env-file", folder.file("x.env")});
  CHECK(bad.code == 2);
  CHECK(bad.err.find("x.env:2:") != std::string::npos);
  CHECK(posenode({"run", "--env-file", folder.file("absent")}).code == 2);
}

TEST_CASE("cli: a job that cannot be right is refused before anyone is asked", "[bin][cli]") {
  const TempFolder folder;
  REQUIRE(write_file(folder.file("bad.json"), "{").ok());
  const std::vector<std::string> rest =
      GENERATE_REF(std::vector<std::string>{},
                   std::vector<std::string>{"--capability", "noop"},
                   std::vector<std::string>{"--capability", "/noop/v1", "--meta", "[]"},
                   std::vector<std::string>{"--capability", "/noop/v1", "--meta", "@/absent"},
                   std::vector<std::string>{"--capability", "/noop/v1", "--input", "/absent.jpg"},
                   std::vector<std::string>{"--capability", "/noop/v1", "--input", "/tmp"},
                   std::vector<std::string>{"--capability", "/noop/v1", "--count", "0"},
                   std::vector<std::string>{"--capability", "/noop/v1", "--max-attempts", "101"},
                   std::vector<std::string>{"/absent.json"},
                   std::vector<std::string>{folder.file("bad.json")});
  std::vector<std::string> arguments{"job", "submit"};
  arguments.insert(arguments.end(), rest.begin(), rest.end());
  const ChildResult result = posenode(arguments, client_settings());
  CHECK(result.code == 2);
  CHECK(lines(result.err) == 1);
}

TEST_CASE("cli: a spec file stands alone", "[bin][cli]") {
  const TempFolder folder;
  REQUIRE(write_file(folder.file("spec.json"), R"({"tasks":[]})").ok());
  const auto [option, value] = GENERATE(std::pair("--capability", "/noop/v1"),
                                        std::pair("--input", "x"),
                                        std::pair("--meta", "{}"),
                                        std::pair("--count", "1"),
                                        std::pair("--label", "x"),
                                        std::pair("--priority", "1"),
                                        std::pair("--max-attempts", "1"),
                                        std::pair("--name", "x"),
                                        std::pair("--type", "x"));
  const ChildResult result =
      posenode({"job", "submit", folder.file("spec.json"), option, value}, client_settings());
  CHECK(result.code == 2);
  CHECK(result.err.find(option) != std::string::npos);
  CHECK(lines(result.err) == 1);
}

TEST_CASE("cli: a URL's password is not said again", "[bin][cli]") {
  Settings settings = client_settings();
  settings["DDS_BASE_URL"] = "https://user:pa55@host";
  const ChildResult result = posenode({"job", "list"}, settings);
  CHECK(result.code == 2);
  CHECK(result.err.find("DDS_BASE_URL") != std::string::npos);
  CHECK(result.err.find("pa55") == std::string::npos);
}

TEST_CASE("cli: healthcheck of a node that is not there fails", "[bin][cli]") {
  const std::string any = GENERATE(":1", "[::]:1");  // heard on IPv4 also where there is no IPv6
  CHECK(posenode({"healthcheck"}, {{"STATUS_ADDR", any}}).err.find("http://127.0.0.1:1 ") !=
        std::string::npos);
  const ChildResult dead = posenode({"healthcheck"}, {{"STATUS_ADDR", "0.0.0.0:1"}});
  CHECK(dead.code == 1);
  CHECK(dead.err.find("127.0.0.1:1") != std::string::npos);
  CHECK(posenode({"healthcheck"}, {{"STATUS_ADDR", "nonsense"}}).code == 2);
  CHECK(posenode({"healthcheck", "--url", "http://127.0.0.1:1/health"}).code == 1);
  CHECK(posenode({"healthcheck", "--url", "nonsense"}).code == 2);
}

TEST_CASE("cli: capabilities need no identity, and say what is missing", "[bin][cli]") {
  const ChildResult result = posenode({"capabilities", "--json"},
                                      {{"ENABLE_NOOP", "true"},
                                       {"NOOP_CAPABILITIES", "/a/v1"},
                                       {"SFM_COLMAP", "/nonexistent/colmap"},
                                       {"HOME", "/nonexistent"}});
  CHECK(result.code == 0);
  const auto json = nlohmann::json::parse(result.out);
  const auto& list = json["capabilities"];
  REQUIRE(list.size() == 3);
  CHECK(list[0]["capability"] == "/a/v1");
  CHECK(list[1]["capability"] == "/noop/v1");
  CHECK(list[2]["capability"] == "/spatial/sfm/v1");
  CHECK(list[2]["ready"] == false);
}

TEST_CASE("cli: run --check says what a node would do, and asks nobody", "[bin][cli]") {
  const TempFolder folder;
  REQUIRE(write_file(folder.file("node.env"), "REG_SECRET=reg-s3cret-value\n", 0644).ok());
  REQUIRE(write_file(folder.file("key"), std::string(63, '0') + "1\n", 0600).ok());
  // Nobody is there: what is asked fails.
  Settings settings{{"DDS_BASE_URL", "http://127.0.0.1:1"},
                    {"DMS_BASE_URL", "http://127.0.0.1:1/v1"},
                    {"SECP256K1_PRIVHEX_FILE", folder.file("key")},
                    {"SFM_COLMAP", "/nonexistent/colmap"},
                    {"ENABLE_NOOP", "true"},
                    {"NOOP_CAPABILITIES", "/a/v1"},
                    {"MAX_CONCURRENCY", "4"},
                    {"CAPABILITY_CONCURRENCY", "/a/v1=2"},
                    {"STATE_DIR", folder.file("state")}};
  const std::vector<std::string> check{"run", "--check", "--env-file", folder.file("node.env")};
  std::vector<std::string> as_json = check;
  as_json.emplace_back("--json");

  const ChildResult good = posenode(as_json, settings);
  CHECK(good.code == 0);
  REQUIRE(nlohmann::json::accept(good.out));
  const auto plan = nlohmann::json::parse(good.out);
  CHECK(plan["faults"].empty());
  CHECK(plan["address"] == "0x7e5f4552091a69125d5dfcb7b8c2659029395bdf");
  CHECK(plan["capabilities"][0]["capability"] == "/a/v1");
  CHECK(plan["capabilities"][0]["slots"] == 2);
  CHECK(plan["capabilities"][2]["ready"] == false);
  CHECK(plan["folders"].size() == 2);
  CHECK(plan["cache_max_gb"] == 20);
  CHECK(plan["secrets"][0] == "REG_SECRET from " + folder.file("node.env"));
  CHECK(plan["secrets"][1] ==
        "SECP256K1_PRIVHEX from SECP256K1_PRIVHEX_FILE=" + folder.file("key"));
  REQUIRE(plan["warnings"].size() == 1);  // node.env is open to all
  CHECK_FALSE(std::filesystem::exists(folder.file("state")));

  const ChildResult text = posenode(check, settings);
  CHECK(text.code == 0);
  CHECK(text.out.find("capability    /a/v1, at most 2 at a time\n") != std::string::npos);
  CHECK(text.out.find("cache         " + folder.file("state/work/cache, at most 20 GiB\n")) !=
        std::string::npos);
  CHECK(text.out.find("reg-s3cret-value") == std::string::npos);

  settings["ENABLE_NOOP"] = "false";
  const ChildResult nothing = posenode(check, settings);
  CHECK(nothing.code == 2);
  CHECK(nothing.err.find("no capability") != std::string::npos);
  settings["MAX_CONCURRENCY"] = "0";
  settings["EXTRA_CA_FILE"] = folder.path.string();  // can be opened, and holds no certificate
  const ChildResult wrong = posenode(as_json, settings);
  CHECK(wrong.code == 2);
  CHECK(nlohmann::json::parse(wrong.out)["faults"].size() == 2);
}
