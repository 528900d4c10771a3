#include "base/file.hpp"
#include "base/result.hpp"
#include "tests/support/child.hpp"
#include "tests/support/temp_folder.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstddef>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>
#include <netinet/in.h>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <sys/poll.h>
#include <sys/socket.h>
#include <unistd.h>

// The real binary over real sockets: a marketplace and a node, and a client of them.

using namespace pn;           // NOLINT(google-build-using-namespace)
using namespace pn::testing;  // NOLINT(google-build-using-namespace)
using namespace std::chrono_literals;

namespace {

namespace fs = std::filesystem;

class Dev {
 public:
  explicit Dev(std::map<std::string, std::string> settings = {}) {
    settings.try_emplace("PATH", "/usr/bin:/bin");
    settings.try_emplace("SFM_COLMAP", "/nonexistent/colmap");  // not what is tested here
    settings.try_emplace("DISK_MIN_FREE_MB", "0");              // nor is this machine's disk
    settings.try_emplace("DISK_MAX_USED_PCT", "100");
    settings.try_emplace("INODE_MAX_USED_PCT", "100");
    child_.emplace(std::vector<std::string>{POSENODE_BINARY,
                                            "dev",
                                            "--listen",
                                            "127.0.0.1:0",
                                            "--data",
                                            folder_.file("dev"),
                                            "--write-env",
                                            folder_.file("client.env")},
                   settings);
    if (!child_->wait_for("Ctrl-C stops both.", 30s)) FAIL(child_->wait(1s).err);
  }

  ChildResult client(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), POSENODE_BINARY);
    arguments.emplace_back("--env-file");
    arguments.push_back(folder_.file("client.env"));
    Child child(arguments, {{"PATH", "/usr/bin:/bin"}});
    ChildResult result = child.wait(60s);
    UNSCOPED_INFO(result.out << result.err);
    return result;
  }
  nlohmann::json client_json(std::vector<std::string> arguments) {
    arguments.emplace_back("--json");
    const ChildResult result = client(std::move(arguments));
    REQUIRE(nlohmann::json::accept(result.out));
    return nlohmann::json::parse(result.out);
  }
  ChildResult stop(int signal) {
    child_->signal(signal);
    return child_->wait(20s);
  }
  [[nodiscard]] std::string file(const std::string& name) const { return folder_.file(name); }

 private:
  TempFolder folder_;
  std::optional<Child> child_;
};

std::string bytes_of(const fs::path& file) {
  const Result<std::string> bytes = read_file(file, 100'000'000);
  REQUIRE(bytes);
  return *bytes;
}

}  // namespace

TEST_CASE("dev: a job with an input goes in, its artifact comes out", "[e2e][bin]") {
  Dev dev;
  REQUIRE(write_file(dev.file("input.txt"), "some input\n").ok());
  const std::string out = dev.file("out");
  const std::vector<std::string> submit{"job",
                                        "submit",
                                        "--capability",
                                        "/noop/v1",
                                        "--input",
                                        dev.file("input.txt"),
                                        "--meta",
                                        R"({"sleep_secs":0.3,"output_bytes":123456})",
                                        "--wait",
                                        "--out",
                                        out};
  const ChildResult first = dev.client(submit);
  REQUIRE(first.code == 0);
  CHECK(first.out.find("1 input: 1 sent, 0 there already") != std::string::npos);
  CHECK(first.out.find("submitted") != std::string::npos);
  CHECK(first.out.find("completed") != std::string::npos);
  CHECK(fs::file_size(out + "/noop.bin") == 123456);

  // The same input is not sent again, the same name in DIR is replaced.
  REQUIRE(write_file(out + "/noop.bin", "old").ok());
  const ChildResult second = dev.client(submit);
  CHECK(second.code == 0);
  CHECK(second.out.find("0 sent, 1 there already") != std::string::npos);
  CHECK(fs::file_size(out + "/noop.bin") == 123456);

  // Several tasks: a folder each.
  const std::string many = dev.file("many");
  const ChildResult counted = dev.client({"job",
                                          "submit",
                                          "--capability",
                                          "/noop/v1",
                                          "--count",
                                          "3",
                                          "--meta",
                                          R"({"output_bytes":10})",
                                          "--out",
                                          many});
  CHECK(counted.code == 0);
  for (const char* name : {"/noop-1/noop.bin", "/noop-2/noop.bin", "/noop-3/noop.bin"}) {
    CHECK(fs::exists(many + name));
  }
  CHECK(dev.client_json({"job", "list"})["items"].size() == 3);
  CHECK(dev.stop(SIGINT).code == 0);
}

TEST_CASE("dev: a failed job says why, a canceled one stops", "[e2e][bin]") {
  Dev dev;
  const ChildResult failed = dev.client({"job",
                                         "submit",
                                         "--capability",
                                         "/noop/v1",
                                         "--max-attempts",
                                         "1",
                                         "--meta",
                                         R"({"fail":"bad_photo","output_bytes":7})",
                                         "--out",
                                         dev.file("out")});
  CHECK(failed.code == 10);
  CHECK(failed.err.find("bad_photo") != std::string::npos);
  CHECK(fs::file_size(dev.file("out/noop.bin")) == 7);  // what it made before it failed

  const nlohmann::json submitted = dev.client_json(
      {"job", "submit", "--capability", "/noop/v1", "--meta", R"({"sleep_secs":600})"});
  const std::string id = submitted["job_id"];
  CHECK(dev.client({"job", "cancel", id}).code == 0);
  CHECK(dev.client({"job", "watch", id}).code == 11);
  CHECK(dev.client({"job", "show", id}).out.find("canceled") != std::string::npos);
  CHECK(dev.client({"job", "show", "00000000-0000-4000-8000-000000000000"}).code == 27);
  CHECK(dev.stop(SIGTERM).code == 0);
}

TEST_CASE("dev: a watcher that leaves says how to come back, and the stop ends the task",
          "[e2e][bin]") {
  Dev dev;
  Child watcher({POSENODE_BINARY,
                 "job",
                 "submit",
                 "--env-file",
                 dev.file("client.env"),
                 "--capability",
                 "/noop/v1",
                 "--meta",
                 R"({"sleep_secs":600})",
                 "--wait"},
                {{"PATH", "/usr/bin:/bin"}});
  REQUIRE(watcher.wait_for("sleep", 20s));
  watcher.signal(SIGINT);
  const ChildResult left = watcher.wait();
  CHECK(left.code == 28);
  CHECK(left.err.find("posenode job watch ") != std::string::npos);
  CHECK(left.err.find("posenode job cancel ") != std::string::npos);
  CHECK(dev.stop(SIGINT).code == 0);  // with the task running
}

TEST_CASE("dev: data goes in and comes out byte for byte", "[e2e][bin]") {
  Dev dev;
  std::string bytes(300'000, '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 7919 >> 3U);
  REQUIRE(write_file(dev.file("a photo.jpg"), bytes).ok());
  const nlohmann::json put = dev.client_json({"data", "put", dev.file("a photo.jpg")});
  REQUIRE(put.size() == 1);
  const std::string id = put[0]["id"];
  const std::string name = put[0]["name"];
  CHECK(name.starts_with("a_photo_"));
  CHECK(put[0]["data_type"] == "image_jpg");

  CHECK(dev.client({"data", "get", id, "-o", dev.file("back.jpg")}).code == 0);
  CHECK(bytes_of(dev.file("back.jpg")) == bytes);
  CHECK(dev.client({"data", "get", name, "-o", "-"}).out == bytes);
  CHECK(dev.client_json({"data", "ls", "--type", "image_jpg"})["data"].size() == 1);
  CHECK(dev.client({"data", "rm", id}).code == 0);
  CHECK(dev.client({"data", "get", id}).code == 27);
  CHECK(dev.client({"data", "ls"}).out == "no data\n");

  // What looks like an id is one, whatever else has that name.
  const std::string photo = dev.client_json({"data", "put", dev.file("a photo.jpg")})[0]["id"];
  REQUIRE(write_file(dev.file("namesake"), "another").ok());
  CHECK(dev.client({"data", "put", dev.file("namesake"), "--name", photo, "--type", "t"}).code ==
        0);
  CHECK(dev.client({"data", "get", photo, "-o", "-"}).out == bytes);
  CHECK(dev.client({"data", "rm", photo}).code == 0);
  CHECK(dev.client({"data", "get", photo, "-o", "-"}).out == "another");  // by its name, then

  // A name of one's own is replaced, not refused.
  REQUIRE(write_file(dev.file("one"), "1").ok());
  REQUIRE(write_file(dev.file("two"), "22").ok());
  CHECK(dev.client({"data", "put", dev.file("one"), "--name", "n", "--type", "t"}).code == 0);
  CHECK(dev.client({"data", "put", dev.file("two"), "--name", "n", "--type", "t"}).code == 0);
  CHECK(dev.client({"data", "get", "n", "-o", "-"}).out == "22");
  const nlohmann::json again =
      dev.client_json({"data", "put", dev.file("two"), "--name", "n", "--type", "t"});
  CHECK(again[0]["reused"] == true);  // but the same bytes are not sent again
}

TEST_CASE("dev: who leaves while a job is being submitted is not told that it was not",
          "[e2e][bin]") {
  Dev dev;
  // A DMS that takes the request and never answers.
  const UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;  // NOLINT(misc-include-cleaner): sys/socket.h, by way of bits/
  auto* const address = reinterpret_cast<sockaddr*>(&at);
  REQUIRE(::bind(listener.get(), address, size) == 0);
  REQUIRE(::listen(listener.get(), 1) == 0);
  REQUIRE(::getsockname(listener.get(), address, &size) == 0);
  Child client(
      {POSENODE_BINARY,
       "job",
       "submit",
       "--env-file",
       dev.file("client.env"),
       "--capability",
       "/noop/v1"},
      {{"PATH", "/usr/bin:/bin"},
       {"DMS_BASE_URL", "http://127.0.0.1:" + std::to_string(ntohs(at.sin_port)) + "/v1"}});
  pollfd arrival{.fd = listener.get(), .events = POLLIN, .revents = 0};
  REQUIRE(::poll(&arrival, 1, 20'000) == 1);
  const UniqueFd asked(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  std::array<char, 1024> request{};
  REQUIRE(read_some(asked.get(), request).value_or(0) > 0);
  client.signal(SIGINT);
  const ChildResult left = client.wait();
  CHECK(left.code == 28);
  CHECK(left.err.find("posenode job list") != std::string::npos);
  CHECK(left.err.find("before the job was submitted") == std::string::npos);
}

TEST_CASE("dev: a taken port is one clear line and exit code 2", "[e2e][bin]") {
  Dev dev;
  const std::string env = bytes_of(dev.file("client.env"));
  const std::size_t at = env.find("DDS_BASE_URL=http://") + 20;
  const std::string listen = env.substr(at, env.find('\n', at) - at);
  const TempFolder other;
  Child second({POSENODE_BINARY, "dev", "--listen", listen, "--data", other.file("dev")},
               {{"PATH", "/usr/bin:/bin"}});
  const ChildResult refused = second.wait();
  CHECK(refused.code == 2);
  CHECK(refused.err.starts_with("posenode: "));
  CHECK(std::count(refused.err.begin(), refused.err.end(), '\n') == 1);
}
