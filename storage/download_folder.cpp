#include "storage/download_folder.hpp"

#include "base/file.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "storage/incoming_file.hpp"
#include "storage/naming.hpp"
#include "storage/whole_file.hpp"

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <sys/stat.h>
#include <unistd.h>

namespace pn::storage {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostWaiting = 512;

}  // namespace

DownloadFolder::~DownloadFolder() {
  if (!kept_) clear();
}

void DownloadFolder::clear() {
  small_.clear();
  taken_.clear();
  if (!made_) return;
  std::error_code ignored;
  fs::remove_all(path_, ignored);
  made_ = false;
}

fs::path DownloadFolder::place(const DataId& id,
                               std::string_view name,
                               std::string_view data_type) {
  const auto own = places_.find(id);
  const fs::path base = own == places_.end() ? path_ : path_ / own->second;
  const fs::path wanted = base / download_path(name, data_type);
  // Two names may differ only in characters that a file's name does not keep.
  const auto [taken, first] = taken_.try_emplace(wanted, 2);
  if (first) return wanted;
  for (int& number = taken->second;; ++number) {
    const std::string tail = "_" + std::to_string(number) + wanted.extension().string();
    const std::string stem = wanted.stem().string().substr(0, kFileNameLimit - tail.size());
    fs::path path = wanted.parent_path() / (stem + tail);
    if (taken_.try_emplace(path, 2).second) return path;
  }
}

Result<void> DownloadFolder::make() {
  if (made_) return {};
  Result<void> parent = make_folders(path_.parent_path());
  if (!parent.ok()) return parent;
  if (::mkdir(path_.c_str(), 0755) != 0) {
    return from_errno(errno, "cannot create the folder " + path_.string());
  }
  made_ = true;
  return {};
}

Result<IncomingFile> DownloadFolder::create() {
  const Result<void> made = make();
  if (!made.ok()) return made.error();
  return IncomingFile::create(path_ / (".incoming-" + std::to_string(++temporaries_)), make_room_);
}

Result<void> DownloadFolder::land(IncomingFile file, fs::path to) {
  if (file.size() > kSmall) return file.commit(to);
  WholeFile small = std::move(file).take();
  small.close();
  small_.emplace_back(std::move(small), std::move(to));
  if (small_.size() < kMostWaiting) return {};
  return settle();
}

Result<void> DownloadFolder::settle() {
  if (small_.empty()) return {};
  if (small_.size() <= kFew) {
    Result<void> synced = sync();
    if (!synced.ok()) return synced;
  }
  while (!small_.empty()) {  // one that has its name is not named again after a failure
    auto& [file, to] = small_.back();
    Result<void> named = file.publish(to);
    if (!named.ok()) return named;
    small_.pop_back();
  }
  return {};
}

Result<void> DownloadFolder::sync() const {
  for (const auto& [file, to] : small_) {
    const Result<UniqueFd> fd = open_read(file.temporary());
    if (!fd.ok()) return fd.error();
    if (::fsync(fd->get()) != 0) return from_errno(errno, "cannot write " + to.string());
  }
  return {};
}

}  // namespace pn::storage
