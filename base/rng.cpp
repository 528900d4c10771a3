#include "base/rng.hpp"

#include "base/encoding.hpp"

#include <array>
#include <bit>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <string>

namespace pn {
namespace {

std::uint64_t next_u64(Rng& rng) {
  std::array<unsigned char, 8> bytes{};
  rng.fill(bytes);
  std::uint64_t value = 0;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

}  // namespace

std::uint64_t uniform(Rng& rng, std::uint64_t low, std::uint64_t high) {
  const std::uint64_t span = high - low + 1;
  if (span == 0) return next_u64(rng);
  // Rejection keeps every value equally likely; the mask makes a second draw rare.
  const std::uint64_t mask = ~std::uint64_t{0} >> std::countl_zero((span - 1) | 1U);
  for (;;) {
    const std::uint64_t draw = next_u64(rng) & mask;
    if (draw < span) return low + draw;
  }
}

std::chrono::milliseconds uniform(Rng& rng,
                                  std::chrono::milliseconds low,
                                  std::chrono::milliseconds high) {
  const auto span = static_cast<std::uint64_t>((high - low).count());
  return low +
         std::chrono::milliseconds(static_cast<std::int64_t>(uniform(rng, std::uint64_t{0}, span)));
}

double uniform(Rng& rng, double low, double high) {
  constexpr double kUnit = 1.0 / 9007199254740992.0;  // 2^-53
  return low + (high - low) * (static_cast<double>(next_u64(rng) >> 11U) * kUnit);
}

std::string make_uuid(Rng& rng) {
  std::array<unsigned char, 16> bytes{};
  rng.fill(bytes);
  bytes[6] = static_cast<unsigned char>((bytes[6] & 0x0FU) | 0x40U);
  bytes[8] = static_cast<unsigned char>((bytes[8] & 0x3FU) | 0x80U);
  std::string hex = to_hex(bytes);
  for (const std::size_t at : {8U, 13U, 18U, 23U}) hex.insert(at, 1, '-');
  return hex;
}

std::string random_hex(Rng& rng, std::size_t bytes) {
  std::string raw(bytes, '\0');
  rng.fill({reinterpret_cast<unsigned char*>(raw.data()), raw.size()});
  return to_hex({reinterpret_cast<const unsigned char*>(raw.data()), raw.size()});
}

}  // namespace pn
