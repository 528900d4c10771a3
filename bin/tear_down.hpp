#pragma once

#include "base/time.hpp"

#include <functional>
#include <memory>

namespace pn::bin {

/// Ends the process with `code` without unwinding anything: for when what is torn down waits for a
/// disk that does not answer. `tell` says why, on a thread of its own and for a second at most,
/// because a log may hang like the rest.
[[noreturn]] void leave(int code, const std::function<void()>& tell);

/// The time that the rest of a scope may take: past it, leave(). Thread: any.
class TearDownLimit final {
 public:
  TearDownLimit(Millis limit, int code, std::function<void()> tell);
  ~TearDownLimit();
  TearDownLimit(const TearDownLimit&) = delete;
  TearDownLimit& operator=(const TearDownLimit&) = delete;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pn::bin
