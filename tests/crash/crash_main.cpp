#include "base/crash_point.hpp"
#include "bin/cli.hpp"
#include "bin/environment.hpp"

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <string>
#include <string_view>

#include <signal.h>
#include <unistd.h>

// `posenode` with a way to die: POSENODE_CRASH_AT=point or point:N kills it, as kill -9 would, when
// it comes to that point for the Nth time.

namespace {

std::string crash_at;                 // set before there is another thread
std::atomic<int> crash_countdown{0};  // passes left

}  // namespace

namespace pn {

void crash_point(std::string_view name) {
  if (name != crash_at || --crash_countdown > 0) return;
  ::kill(::getpid(), SIGKILL);
  for (;;) ::pause();
}

}  // namespace pn

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  try {
    pn::bin::Environment environment = pn::bin::process_environment();
    const auto wanted = environment.find("POSENODE_CRASH_AT");
    if (wanted != environment.end()) {
      const std::size_t colon = wanted->second.find(':');
      crash_at = wanted->second.substr(0, colon);
      crash_countdown =
          colon == std::string::npos ? 1 : std::stoi(wanted->second.substr(colon + 1));
    }
    return pn::bin::run_cli(argc, argv, environment);
  } catch (const std::exception& e) {
    std::cerr << "internal error: " << e.what() << "\n";
  }
  return 1;
}
