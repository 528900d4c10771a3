#include "tests/bin/doctor_support.hpp"
#include "tests/support/child.hpp"
#include "tests/support/fake_marketplace.hpp"
#include "tests/support/fault_proxy.hpp"
#include "tests/support/temp_folder.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <sys/stat.h>

// The real binary in set-ups that are broken in one way each: it names the right one, says what to
// do, and prints no secret.

using namespace pn;           // NOLINT(google-build-using-namespace)
using namespace pn::testing;  // NOLINT(google-build-using-namespace)
using namespace std::chrono_literals;

namespace {

using Settings = std::map<std::string, std::string>;
using Call = FakeMarketplace::Call;
using Answer = FakeMarketplace::Answer;

const char* const kKey = "4c0883a69102937d6231471b5dbb6204fe5129617082798ce3f4fdf2548b6f90";
const char* const kRegSecret = "reg-s3cret-value";
const char* const kProxyPassword = "pr0xy-pa55word";
const char* const kAppSecret = "app-s3cret-value";

/// One set-up: what is running, and the settings of a doctor in it.
struct World {
  TempFolder folder;
  std::vector<std::unique_ptr<Services>> services;
  std::vector<std::unique_ptr<Peer>> peers;
  Settings settings;

  World() {
    settings = {{"PATH", "/usr/bin:/bin"},
                {"ENABLE_NOOP", "true"},
                {"SFM_COLMAP", "/nonexistent/colmap"},
                {"REG_SECRET", kRegSecret},
                {"SECP256K1_PRIVHEX", kKey},
                {"STATUS_ADDR", "127.0.0.1:" + std::to_string(closed_port())},
                {"STATE_DIR", folder.file("state")},
                {"DISK_MIN_FREE_MB", "0"},
                {"DISK_MAX_USED_PCT", "100"},
                {"INODE_MAX_USED_PCT", "100"}};
  }
  /// Without services: an --env-file names them, and the rest of the client's.
  [[nodiscard]] Settings settings_of_a_client() const {
    Settings out = settings;
    out.erase("REG_SECRET");
    return out;
  }
  void serve(const std::function<void(FakeMarketplace&)>& script = {},
             std::chrono::seconds off = 0s) {
    services.push_back(std::make_unique<Services>(script, off));
    settings["DDS_BASE_URL"] = services.back()->url();
    settings["DMS_BASE_URL"] = services.back()->url() + "/v1";
  }
  /// Where `serve` listens: "127.0.0.1:PORT".
  std::string peer(Peer::Serve serve) {
    peers.push_back(std::make_unique<Peer>(std::move(serve)));
    return peers.back()->at();
  }
  /// Trusts a certificate.
  void trust(const TlsIdentity& identity) {
    settings["EXTRA_CA_FILE"] = folder.write("ca.pem", identity.certificate).string();
  }
};

struct Broken {
  const char* name;
  std::function<void(World&)> set_up;
  const char* check;
  const char* verdict;
  int code;
  const char* says;  ///< in what came back, or in a remedy
};

std::function<void(World&)> tls(const char* names, long ends, bool trusted) {
  return [=](World& world) {
    world.serve();
    const TlsIdentity identity = tls_identity(names, ends);
    if (trusted) world.trust(identity);
    world.settings["DDS_BASE_URL"] =
        "https://" + world.peer(tls_answering(identity, "HTTP/1.1 200 OK\r\n\r\n"));
  };
}

std::function<void(World&)> script(FakeMarketplace::Script FakeMarketplace::* which,
                                   int status,
                                   const std::string& body = "{}") {
  return [=](World& world) {
    world.serve([=](FakeMarketplace& fake) {
      fake.*which = [=](const Call&) -> std::optional<Answer> {
        return Answer{.status = status, .body = body};
      };
    });
  };
}

std::function<void(World&)> with(const Settings& settings) {
  return [=](World& world) {
    world.serve();
    for (const auto& [name, value] : settings) world.settings[name] = value;
  };
}

/// A proxy at `where`, for hosts that are not on loopback.
void by_proxy(World& world, const std::string& where) {
  world.settings["HTTPS_PROXY"] = "http://me:" + std::string(kProxyPassword) + "@" + where;
  world.settings["DDS_BASE_URL"] = "https://dds.test.invalid";
  world.settings["DMS_BASE_URL"] = "https://dms.test.invalid/v1";
}

/// A node that serves this status at STATUS_ADDR. Its STATE_DIR is not locked.
void running_node(World& world, const std::string& status) {
  const std::string body =
      "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(status.size()) + "\r\n\r\n" + status;
  world.serve();
  world.settings["STATUS_ADDR"] = world.peer(answering(body));
}

std::vector<Broken> set_ups() {
  using Fake = FakeMarketplace;
  const std::string refused = R"({"error":{"code":"x","message":"bad reg-s3cret-value"}})";
  return {
      {"no secret",
       with({{"REG_SECRET", ""}}),
       "configuration",
       "fail",
       2,
       "REG_SECRET is not set"},
      {"a wrong key", with({{"SECP256K1_PRIVHEX", "12"}}), "configuration", "fail", 2, "32 bytes"},
      {"a client half configured",
       with({{"APP_SECRET", kAppSecret}}),
       "storage",
       "fail",
       2,
       "APP_KEY is not set"},
      {"a state folder below a file",
       [](World& world) {
         world.serve();
         world.settings["STATE_DIR"] = world.folder.write("file", "").string() + "/state";
         world.settings["WORK_DIR"] = world.folder.file("work");
       },
       "state_dir",
       "fail",
       2,
       "choose another STATE_DIR"},
      {"a work folder below a file",
       [](World& world) {
         world.serve();
         world.settings["WORK_DIR"] = world.folder.write("file", "").string() + "/work";
       },
       "work_dir",
       "fail",
       2,
       "choose another WORK_DIR"},
      {"a full disk", with({{"DISK_MIN_FREE_MB", "1000000000"}}), "disk", "fail", 75, "make room"},
      {"a taken address",
       [](World& world) {
         world.serve();
         world.settings["STATUS_ADDR"] = world.peer(answering("HTTP/1.1 404 X\r\n\r\n"));
       },
       "status_addr",
       "fail",
       2,
       "another program listens there"},
      {"a node with another key at the address",
       [](World& world) { running_node(world, R"({"address":"0xabc","state":"leasing"})"); },
       "status_addr",
       "fail",
       2,
       "0xabc"},
      {"no COLMAP and no noop",
       with({{"ENABLE_NOOP", "false"}}),
       "capabilities",
       "fail",
       2,
       "apt install colmap"},
      {"a COLMAP that does not start",
       [](World& world) {
         world.serve();
         const auto program = world.folder.write("colmap", "#!/bin/sh\necho no libfoo; exit 127\n");
         ::chmod(program.c_str(), 0755);
         world.settings["SFM_COLMAP"] = program.string();
       },
       "capabilities",
       "fail",
       2,
       "no libfoo"},
      {"a COLMAP that hangs",
       [](World& world) {
         world.serve();
         const auto program = world.folder.write("colmap", "#!/bin/sh\nexec sleep 600\n");
         ::chmod(program.c_str(), 0755);
         world.settings["SFM_COLMAP"] = program.string();
       },
       "capabilities",
       "fail",
       2,
       "does not end"},
      {"a name that does not resolve",
       with({{"DDS_BASE_URL", "https://dds.test.invalid"}}),
       "dds.dns",
       "fail",
       75,
       "DDS_BASE_URL"},
      {"a service that is down",
       [](World& world) {
         world.serve();
         world.settings["DMS_BASE_URL"] =
             "http://127.0.0.1:" + std::to_string(closed_port()) + "/v1";
       },
       "dms.tcp",
       "fail",
       75,
       "DMS_BASE_URL is wrong"},
      {"a service that is silent",
       [](World& world) {
         world.serve();
         world.settings["DMS_BASE_URL"] = "http://" + world.peer(answering("")) + "/v1";
         world.peers.push_back(std::make_unique<Peer>(nullptr));  // takes, and never answers
         world.settings["DMS_BASE_URL"] = "http://" + world.peers.back()->at() + "/v1";
       },
       "dms.http",
       "fail",
       75,
       "firewall"},
      {"a certificate of nobody",
       tls("IP:127.0.0.1", 3600, false),
       "dds.http",
       "fail",
       2,
       "EXTRA_CA_FILE"},
      {"a certificate that has expired",
       tls("IP:127.0.0.1", -60, true),
       "dds.http",
       "fail",
       75,
       "expired"},
      {"a certificate for another name",
       tls("DNS:other.example", 3600, true),
       "dds.http",
       "fail",
       2,
       "another name"},
      {"plain http behind https://",
       [](World& world) {
         world.serve();
         const std::string url = world.services.back()->url();
         world.settings["DDS_BASE_URL"] = "https" + url.substr(4);
       },
       "dds.http",
       "fail",
       2,
       "write http:// into DDS_BASE_URL"},
      {"TLS behind http://",
       [](World& world) {
         world.serve();
         const TlsIdentity identity = tls_identity("IP:127.0.0.1", 3600);
         world.settings["DDS_BASE_URL"] = "http://" + world.peer(tls_answering(identity, "x"));
       },
       "dds.http",
       "fail",
       75,
       "write https:// into DDS_BASE_URL"},
      {"a proxy that refuses us",
       [](World& world) {
         by_proxy(world, world.peer(answering("HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")));
       },
       "dds.http",
       "fail",
       2,
       "user and password into HTTPS_PROXY"},
      {"a proxy that is down",
       [](World& world) { by_proxy(world, "127.0.0.1:" + std::to_string(closed_port())); },
       "dds.tcp",
       "fail",
       75,
       "HTTPS_PROXY"},
      {"a clock that is ten minutes behind",
       [](World& world) { world.serve({}, 600s); },
       "clock",
       "warn",
       0,
       "timedatectl"},
      {"a wrong registration secret",
       script(&Fake::on_register, 401, refused),
       "registration",
       "fail",
       3,
       "check REG_SECRET"},
      {"an identity that is live elsewhere",
       script(&Fake::on_register, 409),
       "registration",
       "fail",
       3,
       "another live node"},
      {"a wallet that DDS does not know",
       script(&Fake::on_sign_in, 404),
       "sign_in",
       "fail",
       3,
       "SECP256K1_PRIVHEX"},
      {"a signature that is refused",
       script(&Fake::on_sign_in, 401),
       "sign_in",
       "fail",
       3,
       "refused"},
      {"a DDS that is no DDS",
       script(&Fake::on_sign_in, 200, "<html>"),
       "sign_in",
       "fail",
       2,
       "no DDS"},
      {"a DDS that is not well", script(&Fake::on_health, 503), "dds.http", "fail", 75, "not well"},
      {"a DDS that has moved", script(&Fake::on_health, 301), "dds.http", "fail", 2, "elsewhere"},
      {"a DMS address without /v1",
       [](World& world) {
         world.serve();
         world.settings["DMS_BASE_URL"] = world.services.back()->url();
       },
       "dms.http",
       "fail",
       2,
       "/v1"},
      {"a DMS of another network",
       script(&Fake::on_heartbeat, 401),
       "dms.token",
       "fail",
       3,
       "same network"},
      {"an app secret that is refused",
       with({{"APP_KEY", "k"}, {"APP_SECRET", kAppSecret}, {"DOMAIN_ID", "d"}}),
       "storage",
       "fail",
       2,
       "DOMAIN_ID"},
      {"a node that is paused",
       [](World& world) {
         running_node(world,
                      R"({"address":"0xfdbb6caf01414300c16ea14859fec7736d95355f","state":"paused",)"
                      R"("reasons":["paused until noon: posenode resume ends it"]})");
       },
       "node",
       "warn",
       2,
       "posenode resume"},
      {"a capability whose breaker is open",
       [](World& world) {
         running_node(
             world,
             R"({"address":"0xfdbb6caf01414300c16ea14859fec7736d95355f","state":"waiting",)"
             R"("reasons":[],"capabilities":[{"capability":"/a/v1","paused":"5 quick )"
             R"(failures; look into the log"}]})");
       },
       "node",
       "warn",
       2,
       "/a/v1: 5 quick failures"},
  };
}

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
  const auto storage = std::ranges::find_if(
      report["checks"], [](const nlohmann::json& finding) { return finding["check"] == "storage"; });
  REQUIRE(storage != report["checks"].end());
  CHECK((*storage)["verdict"] == "fail");
  INFO(left.out << left.err);
  CHECK(left.code == 0);
  CHECK(left.out.find("posenode_doctor") == std::string::npos);
}
