#pragma once

#include "base/retry.hpp"
#include "base/rng.hpp"
#include "base/time.hpp"
#include "node/journal.hpp"

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <utility>

namespace pn::node {

/// Which receipt goes out when. Knows no sockets and no clock: the caller says what time it is.
/// Pure but for the Rng.
///
/// Invariants
/// 1. A new receipt is due at once while the server answers.
/// 2. A receipt that failed comes again after a pause of its own, which doubles up to kOwn.max.
/// 3. While the server is away (a send failed, and nothing was heard since) one request at a time
///    goes out, after pauses that double up to kServer.max: the receipt that is due, or where none
///    is, a question that costs nobody anything. So an outage costs a server one request in 20 s,
///    however many receipts wait, and a receipt less than one send a minute.
/// 4. Whatever DMS answers brings the server back: every receipt becomes due soon. The first
///    goes alone; with its success come as many at a time as kTogether.
/// 5. A Retry-After holds for its receipt whatever else is heard.
///
///   up ── a send failed, nothing heard since ──▶ away ── anything heard ──▶ back (one at a time)
///   ▲                                             ▲                          │ failed  │ sent
///   └─────────────────────────────────────────────┼──────────────────────────┼─────────┘
///                                                 └──────────────────────────┘
class OutboxCore {
 public:
  explicit OutboxCore(Rng& rng);

  /// Due now.
  void add(RowId id, SteadyTime now);
  /// It is settled, set aside or withdrawn; also while it is in flight.
  void remove(RowId id);

  enum class Act { wait, send, probe };
  struct Step {
    Act act = Act::wait;
    RowId id = 0;                          ///< to send
    SteadyTime until = SteadyTime::max();  ///< how long to wait at most
  };
  [[nodiscard]] Step next(SteadyTime now) const;

  /// What next() said is being done.
  void sending(RowId id, SteadyTime now);
  void probing();
  /// The server took it or refused it for good.
  void sent(RowId id, SteadyTime now);
  /// It is to come again. `after`: what the server asked for.
  void failed(RowId id, SteadyTime now, std::optional<Millis> after);
  void probe_failed(SteadyTime now);
  /// DMS answered somebody in a way that says it works.
  void heard(SteadyTime now);

  [[nodiscard]] bool away() const { return away_; }
  [[nodiscard]] bool in_flight(RowId id) const;
  /// It waits for its next try, or for the server to be back.
  [[nodiscard]] bool delayed(RowId id) const;
  [[nodiscard]] std::size_t size() const { return entries_.size(); }

  /// Sends under way at a time.
  static constexpr std::size_t kTogether = 8;
  /// A receipt's pauses: never less than a minute once they are grown.
  static constexpr RetryPolicy kOwn{.first = Millis(250), .max = Millis(80'000)};
  /// The server's: never more than half a minute.
  static constexpr RetryPolicy kServer{.first = Millis(250), .max = Millis(22'000)};
  static constexpr Millis kLongestAfter{600'000};

 private:
  struct Entry {
    SteadyTime due{};
    SteadyTime held{};  ///< by Retry-After: not before
    SteadyTime last{};  ///< try
    Backoff backoff{kOwn};
    int futile = 0;  ///< tries in a row that failed though the server had just been heard
    bool in_flight = false;
    bool hinted = false;  ///< due because something was heard
  };
  using Entries = std::map<RowId, Entry>;

  void set_due(Entries::value_type& entry, SteadyTime due);
  [[nodiscard]] std::size_t limit() const;

  Rng& rng_;
  Entries entries_;
  std::set<std::pair<SteadyTime, RowId>> queue_;  // who is not in flight, by due time
  std::size_t flying_ = 0;
  bool probing_ = false;

  bool away_ = false;
  bool proven_ = true;  // a receipt went through since the server was away
  SteadyTime heard_ = SteadyTime::min();
  SteadyTime probe_at_{};
  Backoff server_{kServer};
};

}  // namespace pn::node
