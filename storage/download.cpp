#include "storage/download.hpp"

#include "base/awaitable.hpp"
#include "base/digest.hpp"
#include "base/encoding.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "http/multipart.hpp"
#include "http/types.hpp"
#include "storage/file_body.hpp"
#include "storage/parts_writer.hpp"
#include "storage/ports.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace pn::storage {

Result<void> PartsSink::begin(const http::Headers& headers) {
  const std::string type(headers.find("content-type").value_or(""));
  Result<std::string> boundary = http::MultipartReader::boundary_of(type);
  if (!boundary.ok()) return std::move(boundary).error();
  writer_ = std::make_unique<PartsWriter>(folder_, *std::move(boundary));
  return {};
}

Awaitable<Result<void>> PartsSink::write(std::string_view bytes) {
  const auto work = [this, bytes] { return writer_->consume(bytes); };
  Result<void> done = co_await offload(files_, work);
  co_return done;
}

Awaitable<Result<std::vector<InputFile>>> PartsSink::end(bool whole) {
  const auto work = [this, whole] {
    Result<std::vector<InputFile>> files =
        Error(ErrorKind::corrupt, "transfer_failed", "the transfer did not end");
    if (whole && writer_) files = writer_->finish();
    writer_.reset();  // here, because what did not succeed is removed from the disk
    return files;
  };
  Result<std::vector<InputFile>> files = co_await offload(files_, work);
  co_return files;
}

Result<void> RawSink::begin(const http::Headers& headers) {
  const auto field = headers.find("content-digest");
  if (field) expected_ = sha256_of_digest_field(*field);
  return {};
}

Awaitable<Result<void>> RawSink::write(std::string_view bytes) {
  const auto work = [this, bytes] { return write_now(bytes); };
  Result<void> done = co_await offload(files_, work);
  co_return done;
}

Awaitable<Result<std::uint64_t>> RawSink::commit(const std::filesystem::path& path) {
  const auto work = [this, &path] { return commit_now(path); };
  Result<std::uint64_t> done = co_await offload(files_, work);
  co_return done;
}

Result<void> RawSink::write_now(std::string_view bytes) {
  if (!file_) {
    Result<WholeFile> file = WholeFile::create(temporary_);
    if (!file.ok()) return std::move(file).error();
    file_.emplace(*std::move(file));
  }
  if (expected_) digest_.update(bytes);
  size_ += bytes.size();
  return file_->write(bytes);
}

Result<std::uint64_t> RawSink::commit_now(const std::filesystem::path& path) {
  const Result<void> made = write_now({});  // an empty item is a file too
  if (!made.ok()) return made.error();
  if (expected_) {
    const Sha256Digest got = digest_.finish();
    const std::string bytes(got.begin(), got.end());
    if (bytes != *expected_) {
      return Error(
          ErrorKind::retry, "digest_mismatch", "the bytes do not have the digest promised");
    }
  }
  const Result<void> done = file_->commit(path);
  if (!done.ok()) return done.error();
  return size_;
}

std::optional<std::string> sha256_of_digest_field(std::string_view field) {
  constexpr std::string_view kKey = "sha-256=:";
  const std::size_t at = field.find(kKey);
  if (at == std::string_view::npos) return std::nullopt;
  field.remove_prefix(at + kKey.size());
  const std::size_t end = field.find(':');
  if (end == std::string_view::npos) return std::nullopt;
  std::optional<std::string> bytes = from_base64(field.substr(0, end));
  if (!bytes || bytes->size() != std::tuple_size_v<Sha256Digest>) return std::nullopt;
  return bytes;
}

}  // namespace pn::storage
