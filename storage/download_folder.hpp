#pragma once

#include "base/file.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "storage/incoming_file.hpp"
#include "storage/whole_file.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

namespace pn::storage {

/// The fresh folder of one download, removed with all that is in it unless keep() was called.
/// Temporaries have names of their own in it (".incoming-1"); what bears its final name is whole
/// and verified. Every call blocks; one at a time.
class DownloadFolder final {
 public:
  /// The items that go to a folder of their own below it; others go below it itself.
  using Places = std::map<DataId, std::filesystem::path>;

  /// `path` does not exist yet; it is made when something comes. `make_room`: for its files.
  DownloadFolder(std::filesystem::path path, Places places, MakeRoom make_room = {})
      : path_(std::move(path)), places_(std::move(places)), make_room_(std::move(make_room)) {}
  ~DownloadFolder();
  DownloadFolder(const DownloadFolder&) = delete;
  DownloadFolder& operator=(const DownloadFolder&) = delete;

  /// Where an item of this id, name and type goes: its download_path(), numbered where another has
  /// that already. Asks nothing of the disk.
  std::filesystem::path place(const DataId& id, std::string_view name, std::string_view data_type);
  /// The folder itself. Kind `internal` when it was there before.
  Result<void> make();
  Result<IncomingFile> create();

  /// Up to so many bytes a file is small, and up to so many small ones of one answer are few. Of
  /// many, none is synced: an fsync takes as long as the transfer of hundreds of them, and a
  /// workspace does not outlive the crash that would show. All others are synced.
  static constexpr std::uint64_t kSmall = std::uint64_t{256} * 1024;
  static constexpr std::size_t kFew = 16;

  /// Verified bytes to their place. A small file has its name at the next settle() only.
  Result<void> land(IncomingFile file, std::filesystem::path to);
  Result<void> settle();

  /// Removes all that is in it, for another beginning.
  void clear();
  void keep() { kept_ = true; }

 private:
  [[nodiscard]] Result<void> sync() const;

  const std::filesystem::path path_;
  const Places places_;
  const MakeRoom make_room_;
  bool made_ = false;
  bool kept_ = false;
  std::uint64_t temporaries_ = 0;
  std::map<std::filesystem::path, int> taken_;  ///< and the number to try next for its like
  std::vector<std::pair<WholeFile, std::filesystem::path>> small_;
};

}  // namespace pn::storage
