#include "tests/bin/doctor_setups.hpp"

#include "tests/bin/doctor_support.hpp"
#include "tests/support/fake_marketplace.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <sys/stat.h>

namespace pn::testing {
namespace {

using namespace std::chrono_literals;
using Call = FakeMarketplace::Call;
using Answer = FakeMarketplace::Answer;

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

}  // namespace

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

}  // namespace pn::testing
