#pragma once

namespace pn::testing {

/// Tells of the end of a frame, however it ends.
struct Unwound {
  bool& flag;
  ~Unwound() { flag = true; }
};

}  // namespace pn::testing
