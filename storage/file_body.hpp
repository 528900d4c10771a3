#pragma once

#include "base/awaitable.hpp"
#include "base/digest.hpp"
#include "base/file.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "http/body.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <utility>

namespace pn::storage {

/// What is to be uploaded: a file that does not change meanwhile, or bytes. Read in ranges, so that
/// neither is ever copied whole.
class Content final {
 public:
  /// Opens the file, and reads it when it is small. Blocks.
  static Result<Content> of_file(const std::filesystem::path& path);
  /// A file that still grows: who reads knows how far it has come. Its size() is the largest
  /// number.
  static Result<Content> of_growing_file(const std::filesystem::path& path);
  static Content of_bytes(std::string bytes);

  [[nodiscard]] std::uint64_t size() const { return size_; }
  [[nodiscard]] bool in_memory() const { return !fd_; }
  /// Fills `buffer` as far as there is content from `offset` on. Blocks for a file. Kind `corrupt`,
  /// code "file_changed", when the file has become shorter.
  [[nodiscard]] Result<std::size_t> read(std::uint64_t offset, std::span<char> buffer) const;

 private:
  static Result<Content> of_open(const std::filesystem::path& path);

  UniqueFd fd_;
  std::string bytes_;
  std::uint64_t size_ = 0;
};

/// The SHA-256 of `size` bytes from `offset` on, in hex. Slice by slice, so that other work of the
/// pool gets its turn between them. Both outlive the await.
Awaitable<Result<std::string>> digest_of(const Content& content,
                                         std::uint64_t offset,
                                         std::uint64_t size,
                                         ThreadPool& files);

/// `head`, then `size` bytes of a Content from `offset`, then `tail`: a raw part with both empty,
/// or a multipart/form-data envelope. Content and pool outlive it.
class ContentSource final : public http::BodySource {
 public:
  struct Range {
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
  };
  ContentSource(const Content& content, Range range, ThreadPool& files)
      : content_(content), range_(range), files_(files) {}
  void envelop(std::string head, std::string tail) {
    head_ = std::move(head);
    tail_ = std::move(tail);
  }
  /// Takes the SHA-256 of the content as it is read, on the thread that reads it: the bytes that go
  /// out are read once.
  void take_digest() { digest_.emplace(); }
  /// In hex, once; nothing when none was taken or not all was read.
  [[nodiscard]] std::optional<std::string> digest();
  /// Whether the last byte was asked for: before that nobody can have all of it.
  [[nodiscard]] bool exhausted() const { return at_ == *size(); }

  [[nodiscard]] std::optional<std::uint64_t> size() const override {
    return head_.size() + range_.size + tail_.size();
  }
  Awaitable<Result<std::size_t>> read(std::span<char> buffer) override;
  [[nodiscard]] bool begun() const override { return at_ > 0; }
  bool rewind() override {
    at_ = 0;
    if (digest_) digest_.emplace();
    return true;
  }

 private:
  Result<std::size_t> read_content(std::uint64_t offset, std::span<char> room);
  std::size_t copy_text(const std::string& text, std::uint64_t from, std::span<char> buffer);

  const Content& content_;
  const Range range_;
  ThreadPool& files_;
  std::string head_;
  std::string tail_;
  std::uint64_t at_ = 0;
  std::optional<Sha256> digest_;
};

}  // namespace pn::storage
