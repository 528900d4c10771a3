#pragma once

#include "base/awaitable.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "storage/domain_calls.hpp"
#include "storage/incoming_file.hpp"
#include "storage/raw_answer.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

namespace pn::storage {

/// One item's bytes by `GET .../data/{id}?raw=true` into a file that may hold the first of them
/// already: from where it breaks it goes on by Range, and begins anew where that cannot be had or
/// does not fit. Whole when it succeeds: of the length known, with the digest offered; and what was
/// put together of two answers is of one version of the item, which a digest, an ETag or the
/// metadata must show.
class RawDownload final {
 public:
  /// What the metadata says, as far as it is known.
  struct Expected {
    std::optional<std::uint64_t> size{};
    std::string updated_at{};
  };
  /// `calls` outlives it.
  RawDownload(DomainCalls& calls, DataId id, Expected expected, IncomingFile file);

  /// One try. Kind `retry` when another goes on from where it came to; `restart`, code
  /// "item_changed", when the item is not the expected one; else as the server answers. An error of
  /// the disk as it is.
  Awaitable<Result<void>> attempt();
  /// Tries until one succeeds or patience is used up. What advances between breaks is not given up.
  Awaitable<Result<void>> run();

  [[nodiscard]] const IncomingFile& file() const { return file_; }
  /// After success.
  [[nodiscard]] IncomingFile take() && { return std::move(file_); }

 private:
  Awaitable<Result<void>> ask();
  [[nodiscard]] Result<void> check_length() const;
  Awaitable<Result<void>> check_digest();
  Awaitable<Result<void>> check_version();
  Awaitable<Result<void>> restart();
  void joined(const RawAnswer& answer);

  DomainCalls& calls_;
  const DataId id_;
  const Expected expected_;
  IncomingFile file_;
  std::string etag_;                     ///< of the newest bytes; empty: none is known
  bool one_version_ = true;              ///< nothing but a check shows it otherwise
  bool framed_ = true;                   ///< HTTP told where the newest answer ended
  std::optional<std::uint64_t> stated_;  ///< the whole's size, as the newest answer has it
};

}  // namespace pn::storage
