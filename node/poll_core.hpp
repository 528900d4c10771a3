#pragma once

#include "base/rng.hpp"
#include "base/time.hpp"

#include <optional>

namespace pn::node {

/// How long to wait before the next GET /tasks. Pure but for the Rng.
///
/// After work: not at all. Without work: a random time in [min, max], unless the server held the
/// request itself. After an error: a random time from min to a limit that doubles from min to max
/// with each error in a row, so that a short hiccup costs little and nodes that saw the same outage
/// come back spread out. A Retry-After that is longer wins, up to ten minutes.
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
  const Millis min_;
  const Millis max_;
  Rng& rng_;
  int errors_ = 0;
};

}  // namespace pn::node
