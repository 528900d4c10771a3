#include "bin/cli.hpp"
#include "bin/environment.hpp"
#include "bin/exit_codes.hpp"
#include "bin/redaction.hpp"
#include "bin/terminal.hpp"

#include <csignal>
#include <exception>
#include <string>
#include <utility>

#include <signal.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

int main(int argc, char** argv) {
#ifdef __GLIBC__
  // An arena for each thread would multiply what a node holds on to; two are enough for its few.
  ::mallopt(M_ARENA_MAX, 2);  // NOLINT(concurrency-mt-unsafe): there is one thread yet
#endif
  // A peer that hangs up, or a closed pipe, is an error at the write and no reason to die.
  std::signal(SIGPIPE, SIG_IGN);
  try {
    pn::bin::Environment environment = pn::bin::process_environment();
    // Another program of this user could read it there until the commands with keys close it.
    pn::bin::scrub_process_environment();
    return pn::bin::run_cli(argc, argv, std::move(environment));
  } catch (const std::exception& e) {
    pn::bin::complain("internal error: " + std::string(e.what()) + ". Please report it");
  }
  return pn::bin::kExitInternal;
}
