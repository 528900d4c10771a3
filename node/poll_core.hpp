#pragma once

#include "base/rng.hpp"
#include "base/time.hpp"

#include <optional>

namespace pn::node {

/// How long to wait before the next GET /tasks. Pure but for the Rng.
///
/// After work: not at all. Without work: a random time in [min, max], unless the server held the
/// request itself. After an error: the same at once, and from the second in a row on in the upper
/// three quarters of it. A server that goes away cuts the requests of all its nodes in the same
/// instant: with a doubling from min they would all come back within a second or two. Before the
/// first answer of all a node is on its own, and its limit does double from min. On top of a
/// Retry-After (up to ten minutes) comes a random time as well, for all were told the same.
class PollCore {
 public:
  PollCore(Millis min, Millis max, Rng& rng);

  /// A lease was had, or a slot became free.
  Millis after_work();
  /// `held`: how long the server kept the request when it says that it waited for work; zero
  /// otherwise.
  Millis after_nothing(Millis held, std::optional<Millis> retry_after);
  Millis after_error(std::optional<Millis> retry_after);

  [[nodiscard]] int errors() const { return errors_; }

 private:
  Millis pause(Millis low, Millis high, std::optional<Millis> retry_after);

  const Millis min_;
  const Millis max_;
  Rng& rng_;
  int errors_ = 0;
  bool answered_ = false;
};

}  // namespace pn::node
