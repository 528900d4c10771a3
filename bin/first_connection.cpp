#include "bin/first_connection.hpp"

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/deadline.hpp"
#include "base/event.hpp"
#include "base/nursery.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/error.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/error_code.hpp>
#include <boost/system/system_error.hpp>

namespace pn::bin {
namespace {

using Tcp = asio::ip::tcp;

/// RFC 8305, section 5: "Connection Attempt Delay".
constexpr std::chrono::milliseconds kNextAfter{250};

bool over(const AddressTry& one) { return one.connected || !one.fault.empty(); }

struct Race {
  Race(const Executor& e, Clock& c, std::vector<AddressTry>& t)
      : executor(e), clock(c), tries(t), turned(e), nursery(e) {}

  [[nodiscard]] std::optional<std::size_t> winner() const {
    const auto at = std::ranges::find_if(tries, &AddressTry::connected);
    if (at == tries.end()) return std::nullopt;
    return static_cast<std::size_t>(at - tries.begin());
  }
  [[nodiscard]] bool under_way() const {
    return std::ranges::any_of(tries,
                               [](const AddressTry& one) { return one.begun && !over(one); });
  }

  const Executor executor;
  Clock& clock;
  std::vector<AddressTry>& tries;
  Event turned;
  Nursery nursery;
};

Awaitable<void> connect(Race& race, AddressTry& address) {
  Tcp::socket socket(race.executor);
  boost::system::error_code failed;
  auto token = asio::redirect_error(asio::use_awaitable, failed);
  co_await socket.async_connect(address.endpoint, token);
  if (failed == asio::error::operation_aborted) throw boost::system::system_error(failed);
  address.connected = !failed;
  if (failed) address.fault = failed.message();
  race.turned.set();
}

/// A child like the tries, so that none of them outlives who is cancelled.
Awaitable<void> drive(Race& race) {
  for (AddressTry& address : race.tries) {
    if (race.winner()) break;
    address.begun = true;
    race.nursery.spawn("address", connect(race, address));
    const Deadline next = Deadline::in(race.clock, kNextAfter);
    while (!over(address) && !race.winner() && !next.passed(race.clock)) {
      co_await race.turned.wait_until(race.clock, next);
    }
  }
  while (!race.winner() && race.under_way()) co_await race.turned.wait();
  race.nursery.cancel();  // who came too late
}

}  // namespace

std::vector<AddressTry> in_turn(const std::vector<Tcp::endpoint>& endpoints) {
  std::vector<AddressTry> out;
  std::vector<Tcp::endpoint> left = endpoints;
  while (!left.empty()) {
    // The first of the other family, where there is one.
    const auto other = std::ranges::find_if(left, [&](const Tcp::endpoint& endpoint) {
      return out.empty() || endpoint.protocol() != out.back().endpoint.protocol();
    });
    const auto next = other == left.end() ? left.begin() : other;
    out.push_back({.endpoint = *next});
    left.erase(next);
  }
  return out;
}

Awaitable<std::optional<std::size_t>> first_connection(Executor executor,
                                                       Clock& clock,
                                                       std::vector<AddressTry>& tries) {
  Race race(executor, clock, tries);
  race.nursery.spawn("addresses", drive(race));
  co_await race.nursery.join();
  co_return race.winner();
}

std::string failures_of(const std::vector<AddressTry>& tries) {
  std::string out;
  for (const AddressTry& one : tries) {
    if (!one.begun || one.connected) continue;
    if (!out.empty()) out += "; ";
    out += one.endpoint.address().to_string() + ": ";
    out += one.fault.empty() ? "no answer" : one.fault;
  }
  return out;
}

}  // namespace pn::bin
