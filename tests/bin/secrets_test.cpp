#include "base/file.hpp"
#include "base/result.hpp"
#include "tests/support/child.hpp"
#include "tests/support/temp_folder.hpp"

#include <chrono>
#include <csignal>
#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <catch2/catch.hpp>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

// The real binary: where its secrets must not be.

using namespace pn;           // NOLINT(google-build-using-namespace)
using namespace pn::testing;  // NOLINT(google-build-using-namespace)
using namespace std::chrono_literals;

namespace {

namespace fs = std::filesystem;

const char* const kKey = "4c0883a69102937d6231471b5dbb6204fe5129617082798ce3f4fdf2548b6f90";
const char* const kRegSecret = "reg-s3cret-value";
const char* const kPassword = "pr0xy-pa55word";

std::string text_of(const fs::path& file) {
  const Result<std::string> text = read_file(file, 10'000'000);
  return text ? *text : "unreadable: " + text.error().detail;
}

void check_none(const std::string& text, const std::vector<std::string>& secrets) {
  for (const std::string& secret : secrets) {
    INFO(secret);
    CHECK(text.find(secret) == std::string::npos);
  }
}

/// A photo that decodes: grey noise of its own.
void write_photo(const fs::path& file, int seed) {
  std::string bytes = "P5 64 64 255\n";
  unsigned value = static_cast<unsigned>(seed) * 7919U + 1;
  for (int i = 0; i < 64 * 64; ++i) {
    value = value * 1103515245U + 12345U;
    bytes += static_cast<char>(value >> 16U);
  }
  REQUIRE(write_file(file, bytes).ok());
}

}  // namespace

TEST_CASE("secrets: not in a node's own environment, its log and a core file", "[bin][secrets]") {
  const TempFolder folder;
  // DDS is the proxy's matter, which is not there: what is tried is logged, with why it failed.
  Child child({"/bin/sh",
               "-c",
               R"(ulimit -c unlimited; cd "$1"; exec "$0" run)",
               POSENODE_BINARY,
               folder.path.string()},
              {{"PATH", "/usr/bin:/bin"},
               {"ENABLE_NOOP", "true"},
               {"LOG_LEVEL", "debug"},
               {"REG_SECRET", kRegSecret},
               {"SECP256K1_PRIVHEX", kKey},
               {"HTTPS_PROXY", "http://me:" + std::string(kPassword) + "@127.0.0.1:1"},
               {"DDS_BASE_URL", "https://dds.test.invalid"},
               {"DMS_BASE_URL", "https://dms.test.invalid/v1"},
               {"STATUS_ADDR", "127.0.0.1:0"},
               {"STATE_DIR", folder.file("state")}});
  const auto end = std::chrono::steady_clock::now() + 20s;
  const auto said = [&] {
    return child.seen().err.find("registration.failed") != std::string::npos;
  };
  while (!said() && std::chrono::steady_clock::now() < end) child.wait_for("nothing", 1s);
  REQUIRE(said());
  // Root reads it all the same; others do not (services_test.cpp).
  const std::string process = "/proc/" + std::to_string(child.pid());
  const std::string environment = text_of(process + "/environ");
  if (::geteuid() == 0) CHECK(environment.find("REG_SECRET=") != std::string::npos);
  check_none(environment, {kKey, kRegSecret, kPassword});
  CHECK_THAT(text_of(process + "/limits"), Catch::Matches("[^]*Max core file size +0 +0 [^]*"));
  child.signal(SIGABRT);
  const ChildResult ended = child.wait();
  CHECK(ended.code == 128 + SIGABRT);
  check_none(ended.err + ended.out, {kKey, kRegSecret, kPassword});
  for (const std::string& file : folder.listing()) CHECK(file.find("core") == std::string::npos);
}

TEST_CASE("secrets: not in the environment of a runner's program, nor what it may read",
          "[bin][secrets]") {
  const TempFolder folder;
  // In COLMAP's place: shows what it can see of itself and of who started it.
  const fs::path program =
      folder.write("colmap",
                   "#!/bin/sh\n"
                   "p=$$\n"
                   "while [ \"$p\" -gt 1 ]; do\n"
                   "  tr '\\0' '\\n' </proc/$p/environ >>\"" +
                       folder.file("seen") +
                       "\" 2>&1\n"
                       "  p=$(sed -n 's/^PPid:[[:space:]]*//p' /proc/$p/status)\n"
                       "  grep -q posenode /proc/$p/comm || break\n"
                       "done\n"
                       "echo done >>\"" +
                       folder.file("seen") +
                       "\"\n"
                       "exit 1\n");
  ::chmod(program.c_str(), 0755);
  const std::map<std::string, std::string> environment{
      {"PATH", "/usr/bin:/bin"},
      {"SFM_COLMAP", program.string()},
      {"MARKET_BOOTSTRAP_REG_SECRET", kRegSecret},
      {"MARKET_BOOTSTRAP_APP_SECRET", "app-s3cret-value"},
      {"SOMETHING_ELSE", "of-the-operator"}};
  Child dev({POSENODE_BINARY,
             "dev",
             "--listen",
             "127.0.0.1:0",
             "--data",
             folder.file("dev"),
             "--write-env",
             folder.file("client.env")},
            environment);
  REQUIRE(dev.wait_for("Ctrl-C stops both.", 30s));
  std::vector<std::string> submit{POSENODE_BINARY,
                                  "job",
                                  "submit",
                                  "--env-file",
                                  folder.file("client.env"),
                                  "--capability",
                                  "/spatial/sfm/v1",
                                  "--max-attempts",
                                  "1",
                                  "--wait"};
  for (int i = 0; i < 3; ++i) {
    const fs::path photo = folder.path / ("photo" + std::to_string(i) + ".pgm");
    write_photo(photo, i);
    submit.emplace_back("--input");
    submit.push_back(photo.string());
  }
  Child client(submit, {{"PATH", "/usr/bin:/bin"}});
  const ChildResult result = client.wait(60s);
  INFO(result.out << result.err);
  CHECK(result.code == 10);  // the job failed: this is no COLMAP
  const std::string seen = text_of(folder.file("seen"));
  INFO(seen);
  REQUIRE(seen.find("done") != std::string::npos);
  CHECK(seen.find("HOME=") != std::string::npos);  // its own
  const std::string credentials = text_of(folder.file("dev/credentials.env"));
  const std::size_t at = credentials.find("SECP256K1_PRIVHEX=") + 18;
  const std::string key = credentials.substr(at, 64);
  check_none(seen, {kRegSecret, "app-s3cret-value", key});
  dev.signal(SIGINT);
  const ChildResult stopped = dev.wait(20s);
  check_none(stopped.err, {kRegSecret, "app-s3cret-value", key});
}

TEST_CASE("secrets: what a command complains of does not name them", "[bin][secrets]") {
  const TempFolder folder;
  Child child({POSENODE_BINARY, "job", "list"},
              {{"PATH", "/usr/bin:/bin"},
               {"APP_KEY", "k"},
               {"APP_SECRET", "app-s3cret-value"},
               {"DOMAIN_ID", "x"},
               {"REQUEST_TIMEOUT_SECS", "app-s3cret-value"}});  // pasted into the wrong line
  const ChildResult result = child.wait();
  CHECK(result.code == 2);
  CHECK(result.err.find("REQUEST_TIMEOUT_SECS=[redacted]") != std::string::npos);
}
