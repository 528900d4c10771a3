#include "storage/incoming_file.hpp"

#include "base/digest.hpp"
#include "base/file.hpp"
#include "base/result.hpp"
#include "storage/whole_file.hpp"

#include <atomic>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

namespace pn::storage {

Result<IncomingFile> IncomingFile::create(const std::filesystem::path& temporary,
                                          MakeRoom make_room) {
  Result<WholeFile> file = WholeFile::create(temporary, std::move(make_room));
  if (!file.ok()) return std::move(file).error();
  return IncomingFile(*std::move(file));
}

void IncomingFile::promise(std::string sha256) {
  promised_ = std::move(sha256);
  if (size_ == 0) hash_.emplace();
}

Result<void> IncomingFile::write(std::string_view bytes) {
  Result<void> written = file_.write(bytes);
  if (!written.ok()) return written;
  if (hash_) hash_->update(bytes);
  size_ += bytes.size();
  return {};
}

Result<void> IncomingFile::restart() {
  size_ = 0;
  promised_.reset();
  hash_.reset();
  return file_.restart();
}

Result<void> IncomingFile::verify(const std::atomic<bool>& stop) {
  if (!promised_) return {};
  const Result<Sha256Digest> got = digest(stop);
  if (!got.ok()) return got.error();
  if (std::string(got->begin(), got->end()) == *promised_) return {};
  return Error(ErrorKind::retry, "digest_mismatch", "the bytes do not have the digest promised");
}

Result<Sha256Digest> IncomingFile::digest(const std::atomic<bool>& stop) {
  if (hash_) {
    Sha256 hash = std::move(*hash_);
    hash_.reset();
    return hash.finish();
  }
  const Result<UniqueFd> fd = open_read(file_.temporary());
  if (!fd.ok()) return fd.error();
  Sha256 hash;
  std::string buffer(std::size_t{256} * 1024, '\0');
  for (;;) {
    if (stop) return Error(ErrorKind::internal, "stopped", "stopped while a digest was taken");
    const Result<std::size_t> got = read_some(fd->get(), buffer);
    if (!got.ok()) return got.error();
    if (*got == 0) return hash.finish();
    hash.update(std::string_view(buffer).substr(0, *got));
  }
}

}  // namespace pn::storage
