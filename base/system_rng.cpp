#include "base/system_rng.hpp"

#include <cerrno>
#include <cstddef>
#include <span>
#include <system_error>

#include <sys/random.h>
#include <sys/types.h>

namespace pn {

void SystemRng::fill(std::span<unsigned char> bytes) {
  while (!bytes.empty()) {
    const ssize_t got = ::getrandom(bytes.data(), bytes.size(), 0);
    if (got < 0) {
      if (errno == EINTR) continue;
      throw std::system_error(errno, std::generic_category(), "getrandom");
    }
    bytes = bytes.subspan(static_cast<std::size_t>(got));
  }
}

}  // namespace pn
