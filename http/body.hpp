#pragma once

#include "base/awaitable.hpp"
#include "base/file.hpp"
#include "base/result.hpp"
#include "http/types.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace pn::http {

/// A part of a file.
struct FileRange {
  UniqueFd fd;
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
};

/// Bytes that someone else pulls: a request body going out, a response body being served. Memory is
/// the puller's buffer, whatever the size.
class BodySource {
 public:
  virtual ~BodySource() = default;
  /// The exact number of bytes; nothing when unknown (sent chunked).
  [[nodiscard]] virtual std::optional<std::uint64_t> size() const = 0;
  /// Fills up to `buffer.size()` bytes; 0 is the end. The buffer lives until the await ends.
  virtual Awaitable<Result<std::size_t>> read(std::span<char> buffer) = 0;
  /// The bytes that come next, when they lie in a file from which the kernel can send them (never
  /// none); read() then goes on behind them. For the server: whoever does not ask reads them.
  virtual std::optional<FileRange> take_file() { return std::nullopt; }
  /// Back to the first byte, for a request that is sent again on a new connection. False: cannot.
  virtual bool rewind() = 0;
  /// Whether a byte was read since it was made or turned back: tells who sends it again a line that
  /// breaks from one that is dead. False where nobody asks.
  [[nodiscard]] virtual bool begun() const { return false; }
};

/// As read(), but what it answers is less than the buffer's size only at the end.
Awaitable<Result<std::size_t>> read_full(BodySource& source, std::span<char> buffer);

/// Where a body goes, piece by piece. The next piece comes when write() has returned: that is the
/// back-pressure.
class BodySink {
 public:
  virtual ~BodySink() = default;
  /// Told once before the first write(), also when the body is empty; for what only the status (a
  /// 2xx) and the headers say: a range, a boundary, a digest. An error stops the transfer as one of
  /// write() does.
  virtual Result<void> begin(int /*status*/, const Headers& /*headers*/) { return {}; }
  /// `bytes` live until the await ends. An error stops the transfer and is what the transfer
  /// answers.
  virtual Awaitable<Result<void>> write(std::string_view bytes) = 0;
};

/// A body that is in memory already.
class StringSource final : public BodySource {
 public:
  explicit StringSource(std::string bytes) : bytes_(std::move(bytes)) {}
  [[nodiscard]] std::optional<std::uint64_t> size() const override { return bytes_.size(); }
  Awaitable<Result<std::size_t>> read(std::span<char> buffer) override;
  bool rewind() override;

 private:
  std::string bytes_;
  std::size_t at_ = 0;
};

/// Keeps everything, up to a limit (kind `rejected`, code "body_too_large", past it).
class StringSink final : public BodySink {
 public:
  explicit StringSink(std::uint64_t limit) : limit_(limit) {}
  Awaitable<Result<void>> write(std::string_view bytes) override;
  [[nodiscard]] std::string take() { return std::move(bytes_); }

 private:
  std::uint64_t limit_;
  std::string bytes_;
};

}  // namespace pn::http
