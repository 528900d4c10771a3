// co_spawn, asio::detached, getenv, environ, system_clock::now() and random_device in a comment
/* and steady_clock::now()
   #include "market/jobs.hpp"
   in a long one */
#include "runners/runner.hpp"

#include <boost/asio/steady_timer.hpp>
#include <nlohmann/json.hpp>
void f() {
  say("getenv \" steady_clock::now()");
  auto environment = my_co_spawner();
  char quote = '"';  // getenv
}
