#pragma once

#include "base/rng.hpp"

namespace pn {

/// The kernel's generator (getrandom). Safe on any thread.
class SystemRng final : public Rng {
 public:
  void fill(std::span<unsigned char> bytes) override;
};

}  // namespace pn
