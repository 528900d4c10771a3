#pragma once

#include "base/time.hpp"

#include <chrono>

namespace pn::node {

/// How far a server's wall clock is ahead of ours, from the Date headers of its answers.
///
/// A lease's end is named by the server's clock; read against ours, a clock that is ten minutes off
/// would lose every lease, or keep one that others hold. Date has whole seconds, and the answer was
/// made between our sending and receiving, so each answer gives an interval; they are intersected
/// until one contradicts (a clock was set), which starts anew. While zero is possible, zero is
/// taken: then the clocks agree as far as anyone can tell, and no second is given away. Else the
/// upper end is taken: the lease ends too early by at most two seconds, never too late. Pure; no
/// thread.
class ServerTime {
 public:
  /// One answer: its Date, and our wall clock when the request went out and the answer came in.
  void observe(SystemTime date, SystemTime sent, SystemTime received);

  /// To be added to our wall clock to get the server's.
  [[nodiscard]] std::chrono::microseconds offset() const;

 private:
  bool known_ = false;
  std::chrono::microseconds low_{0};
  std::chrono::microseconds high_{0};
};

}  // namespace pn::node
