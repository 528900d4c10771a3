#include "http/body.hpp"

#include "base/awaitable.hpp"
#include "base/result.hpp"

#include <algorithm>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

namespace pn::http {

Awaitable<Result<std::size_t>> read_full(BodySource& source, std::span<char> buffer) {
  std::size_t filled = 0;
  while (filled < buffer.size()) {
    const std::span<char> room = buffer.subspan(filled);
    Result<std::size_t> got = co_await source.read(room);
    if (!got) co_return got;
    if (*got == 0) break;
    filled += *got;
  }
  co_return filled;
}

Awaitable<Result<std::size_t>> StringSource::read(std::span<char> buffer) {
  const std::size_t count = std::min(buffer.size(), bytes_.size() - at_);
  if (count > 0) std::memcpy(buffer.data(), bytes_.data() + at_, count);
  at_ += count;
  co_return count;
}

bool StringSource::rewind() {
  at_ = 0;
  return true;
}

Awaitable<Result<void>> StringSink::write(std::string_view bytes) {
  if (bytes.size() > limit_ - bytes_.size()) {
    co_return Error(ErrorKind::rejected,
                    "body_too_large",
                    "the body is larger than the " + std::to_string(limit_) + " bytes allowed");
  }
  bytes_.append(bytes);
  co_return Result<void>();
}

}  // namespace pn::http
