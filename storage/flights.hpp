#pragma once

#include "base/awaitable.hpp"
#include "base/event.hpp"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace pn::storage {

/// What is under way. A fetch, so that two who want the same thing at once fetch it once: one
/// claims it, the other waits and then looks where the first has put it. An upload, so that two of
/// one name at once are two. Whoever waits holds no claim: two that hold one and wait for the
/// other's would wait for ever. Thread: one loop's.
class Flights final {
 public:
  /// The right to one key, until it is destroyed; then those who wait look again.
  class Claim final {
   public:
    Claim(Flights& flights, std::string key) : flights_(&flights), key_(std::move(key)) {}
    ~Claim() {
      if (flights_ != nullptr) flights_->land(key_);
    }
    Claim(Claim&& other) noexcept
        : flights_(std::exchange(other.flights_, nullptr)), key_(std::move(other.key_)) {}
    Claim& operator=(Claim&&) = delete;

   private:
    Flights* flights_;
    std::string key_;
  };

  /// Nothing: another has it.
  [[nodiscard]] std::optional<Claim> claim(const std::string& key);
  /// Until nobody has it; at once where nobody does.
  Awaitable<void> wait(std::string key);

 private:
  void land(const std::string& key);

  // shared with those who wait: a cancelled one is gone before the flight has landed
  using Waiters = std::vector<std::shared_ptr<Event>>;
  std::map<std::string, Waiters> flying_;
};

}  // namespace pn::storage
