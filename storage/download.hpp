#pragma once

#include "base/awaitable.hpp"
#include "base/digest.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "http/body.hpp"
#include "storage/file_body.hpp"
#include "storage/parts_writer.hpp"
#include "storage/ports.hpp"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pn::storage {

/// A multipart answer to files of a fresh folder; nothing stays unless end(true) succeeds.
class PartsSink final : public http::BodySink {
 public:
  PartsSink(std::filesystem::path folder, ThreadPool& files)
      : folder_(std::move(folder)), files_(files) {}

  Result<void> begin(const http::Headers& headers) override;
  Awaitable<Result<void>> write(std::string_view bytes) override;
  /// The transfer is over: `whole` when all of it came.
  Awaitable<Result<std::vector<InputFile>>> end(bool whole);

 private:
  const std::filesystem::path folder_;
  ThreadPool& files_;
  std::unique_ptr<PartsWriter> writer_;
};

/// A raw answer to one file, checked against its Content-Digest.
class RawSink final : public http::BodySink {
 public:
  RawSink(std::filesystem::path temporary, ThreadPool& files)
      : temporary_(std::move(temporary)), files_(files) {}

  Result<void> begin(const http::Headers& headers) override;
  Awaitable<Result<void>> write(std::string_view bytes) override;
  Awaitable<Result<std::uint64_t>> commit(const std::filesystem::path& path);

 private:
  Result<void> write_now(std::string_view bytes);
  Result<std::uint64_t> commit_now(const std::filesystem::path& path);

  const std::filesystem::path temporary_;
  ThreadPool& files_;
  std::optional<WholeFile> file_;
  std::optional<std::string> expected_;  ///< the digest's 32 bytes, where offered
  Sha256 digest_;
  std::uint64_t size_ = 0;
};

/// The SHA-256 in a Content-Digest field (RFC 9530), as 32 bytes; nothing when there is none.
std::optional<std::string> sha256_of_digest_field(std::string_view field);

}  // namespace pn::storage
