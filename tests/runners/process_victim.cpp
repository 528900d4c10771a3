// process_victim SCRIPT: runs it with /bin/sh through the launcher, printing its lines. For the
// test that kills a node with kill -9.
#include "base/awaitable.hpp"
#include "base/result.hpp"
#include "base/system_clock.hpp"
#include "runners/process.hpp"

#include <cstdio>
#include <exception>
#include <string_view>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

namespace {

pn::Awaitable<void> run(pn::runners::ProcessLauncher& launcher, pn::runners::ProcessSpec spec) {
  const pn::Result<pn::runners::ProcessExit> done = co_await launcher.run(std::move(spec));
  std::printf("ended %d\n", done ? done->code : -1);
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  boost::asio::io_context loop(1);
  pn::SystemClock clock;
  const auto launcher = pn::runners::make_process_launcher(loop.get_executor(), clock);
  pn::runners::ProcessSpec spec;
  spec.program = "sh";
  spec.arguments = {"-c", arguments[1]};
  spec.on_line = [](std::string_view line) {
    std::printf("%.*s\n", static_cast<int>(line.size()), line.data());
    std::fflush(stdout);
  };
  boost::asio::co_spawn(
      loop, run(*launcher, std::move(spec)), [](const std::exception_ptr& failed) {
        if (failed) std::rethrow_exception(failed);
      });
  loop.run();
  return 0;
}
