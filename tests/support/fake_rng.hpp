#pragma once

#include "base/rng.hpp"

#include <cstdint>
#include <random>

namespace pn::testing {

/// Reproducible bytes from a seed.
class FakeRng final : public Rng {
 public:
  explicit FakeRng(std::uint64_t seed = 1) : engine_(seed) {}
  void fill(std::span<unsigned char> bytes) override {
    for (auto& byte : bytes) byte = static_cast<unsigned char>(engine_());
  }

 private:
  std::mt19937_64 engine_;
};

}  // namespace pn::testing
