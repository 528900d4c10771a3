#include "storage/flights.hpp"

#include "base/awaitable.hpp"
#include "base/event.hpp"

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <boost/asio/this_coro.hpp>

namespace pn::storage {

std::optional<Flights::Claim> Flights::claim(const std::string& key) {
  if (!flying_.try_emplace(key).second) return std::nullopt;
  return std::optional<Claim>(std::in_place, *this, key);
}

Awaitable<void> Flights::wait(std::string key) {
  const Executor executor = co_await asio::this_coro::executor;
  const auto flight = flying_.find(key);
  if (flight == flying_.end()) co_return;
  const auto landed = std::make_shared<Event>(executor);
  flight->second.push_back(landed);
  co_await landed->wait();
}

void Flights::land(const std::string& key) {
  const auto flight = flying_.find(key);
  if (flight == flying_.end()) return;
  const Waiters waiters = std::move(flight->second);
  flying_.erase(flight);
  for (const auto& waiter : waiters) waiter->set();
}

}  // namespace pn::storage
