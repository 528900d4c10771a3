#include "bin/first_connection.hpp"

#include "base/awaitable.hpp"
#include "base/file.hpp"
#include "tests/support/test_loop.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include <boost/asio/ip/address_v4.hpp>
#include <boost/asio/ip/address_v6.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <catch2/catch.hpp>
#include <netinet/in.h>
#include <sys/socket.h>

namespace pn::bin {
namespace {

using namespace std::chrono_literals;
using Tcp = asio::ip::tcp;
using pn::testing::Started;
using pn::testing::TestLoop;

Tcp::endpoint at(std::uint32_t host, std::uint16_t port) {
  return {asio::ip::address_v4(0x7f000000U + host), port};
}

/// Takes connections, or swallows them: its queue is full.
struct Address {
  Address(asio::io_context& context, std::uint32_t host, bool dead)
      : acceptor(context, at(host, 0)), endpoint(acceptor.local_endpoint()) {
    if (!dead) return;
    acceptor.close();
    acceptor.open(Tcp::v4());
    acceptor.set_option(Tcp::acceptor::reuse_address(true));
    acceptor.bind(endpoint);
    acceptor.listen(0);
    for (int i = 0; i < 3; ++i) {
      waiting.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
      (void)::connect(waiting.back().get(), endpoint.data(), sizeof(sockaddr_in));  // goes on
    }
  }
  Tcp::acceptor acceptor;
  Tcp::endpoint endpoint;
  std::vector<UniqueFd> waiting;
};

struct Connecting {
  explicit Connecting(const std::vector<Tcp::endpoint>& endpoints)
      : tries(in_turn(endpoints)), started(loop, run()) {}

  Awaitable<void> run() {
    const std::optional<std::size_t> winner =
        co_await first_connection(loop.executor(), loop.clock, tries);
    index = winner;
  }
  /// Real sockets need real time.
  bool until_done() {
    return loop.run_until([this] { return started.done(); }, 5s);
  }
  void turn() {
    loop.context.restart();
    loop.context.run_for(20ms);
  }

  TestLoop loop;
  std::vector<AddressTry> tries;
  std::optional<std::size_t> index;
  Started started;
};

}  // namespace

TEST_CASE("first_connection: the families take turns, beginning with the first", "[bin]") {
  const Tcp::endpoint a(asio::ip::make_address_v6("2001:db8::1"), 1);
  const Tcp::endpoint b(asio::ip::make_address_v6("2001:db8::2"), 1);
  const Tcp::endpoint c(asio::ip::make_address_v6("2001:db8::3"), 1);
  const std::vector<AddressTry> tries = in_turn({a, b, c, at(1, 1), at(2, 1)});
  std::vector<Tcp::endpoint> order;
  for (const AddressTry& one : tries) order.push_back(one.endpoint);
  CHECK(order == std::vector<Tcp::endpoint>{a, at(1, 1), b, at(2, 1), c});
}

TEST_CASE("first_connection: an address that swallows packets costs 250 ms, and is named",
          "[bin][doctor]") {
  asio::io_context listening;
  const Address dead(listening, 2, true);
  const Address live(listening, 3, false);
  Connecting connecting({dead.endpoint, live.endpoint});
  connecting.turn();
  CHECK_FALSE(connecting.tries[1].begun);
  connecting.loop.advance(249ms);
  connecting.turn();
  CHECK_FALSE(connecting.tries[1].begun);
  connecting.loop.advance(1ms);
  REQUIRE(connecting.until_done());
  connecting.started.rethrow();
  CHECK(connecting.index == 1U);
  CHECK(failures_of(connecting.tries) == "127.0.0.2: no answer");
}

TEST_CASE("first_connection: after one that refuses the next comes at once", "[bin][doctor]") {
  asio::io_context listening;
  const Address live(listening, 3, false);
  std::uint16_t closed = 0;
  {
    const Address gone(listening, 2, false);
    closed = gone.endpoint.port();
  }
  SECTION("and one that connects ends it") {
    Connecting connecting({at(2, closed), live.endpoint});
    REQUIRE(connecting.until_done());
    CHECK(connecting.index == 1U);
    CHECK(failures_of(connecting.tries) == "127.0.0.2: Connection refused");
  }
  SECTION("until none is left") {
    Connecting connecting({at(2, closed), at(4, closed)});
    REQUIRE(connecting.until_done());
    CHECK_FALSE(connecting.index);
    CHECK(failures_of(connecting.tries) ==
          "127.0.0.2: Connection refused; 127.0.0.4: Connection refused");
  }
}

TEST_CASE("first_connection: who is cancelled knows what came of each", "[bin][doctor]") {
  asio::io_context listening;
  const Address dead(listening, 2, true);
  const Address too(listening, 3, true);
  Connecting connecting({dead.endpoint, too.endpoint});
  connecting.turn();
  connecting.loop.advance(250ms);
  connecting.turn();
  CHECK(connecting.tries[1].begun);
  connecting.started.cancel();
  REQUIRE(connecting.until_done());
  CHECK(connecting.started.failed());
  CHECK(failures_of(connecting.tries) == "127.0.0.2: no answer; 127.0.0.3: no answer");
}

}  // namespace pn::bin
