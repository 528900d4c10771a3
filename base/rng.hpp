#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>

namespace pn {

/// Random bytes. Real: SystemRng (the kernel's); tests: a seeded one that prints its seed.
class Rng {
 public:
  virtual ~Rng() = default;
  virtual void fill(std::span<unsigned char> bytes) = 0;
};

/// Uniform in [low, high], both included. `low <= high`.
std::uint64_t uniform(Rng& rng, std::uint64_t low, std::uint64_t high);
std::chrono::milliseconds uniform(Rng& rng,
                                  std::chrono::milliseconds low,
                                  std::chrono::milliseconds high);
/// Uniform in [low, high).
double uniform(Rng& rng, double low, double high);

/// A version 4 UUID in lower case.
std::string make_uuid(Rng& rng);

/// `bytes` random bytes as lower-case hex: nonces, generated secrets.
std::string random_hex(Rng& rng, std::size_t bytes);

}  // namespace pn
