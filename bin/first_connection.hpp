#pragma once

#include "base/awaitable.hpp"
#include "base/clock.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/ip/tcp.hpp>

namespace pn::bin {

/// How one address of a name took a connection.
struct AddressTry {
  asio::ip::tcp::endpoint endpoint;
  bool begun = false;
  bool connected = false;
  std::string fault{};  ///< empty: none yet
};

/// One try an address, in the order in which they are made: the families in turn, beginning with
/// that of the first (RFC 8305, section 4).
std::vector<AddressTry> in_turn(const std::vector<asio::ip::tcp::endpoint>& endpoints);

/// Connects as browsers and curl do (RFC 8305): the next address when one has failed, or has not
/// answered within 250 ms, which it may still do; the first that connects ends it. So one address
/// that swallows packets costs a quarter of a second and not all the time there is. Answers the
/// index of the one that connected; nothing when all have failed. `tries` outlives it, and says
/// what came of each so far, also to one who cancels this.
Awaitable<std::optional<std::size_t>> first_connection(Executor executor,
                                                       Clock& clock,
                                                       std::vector<AddressTry>& tries);

/// "2001:db8::1: no answer; 192.0.2.1: Connection refused": of those that were begun and did not
/// connect.
std::string failures_of(const std::vector<AddressTry>& tries);

}  // namespace pn::bin
