#pragma once

#include "base/result.hpp"
#include "runners/sfm/image_io.hpp"
#include "storage/ports.hpp"

#include <atomic>
#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace pn::runners::sfm {

struct Photo {
  std::string name;  ///< in the photos' folder; what COLMAP and the artifacts call it
  PhotoInfo info;
};

/// A task's photos, in one folder, in the order of their names.
struct PhotoSet {
  std::filesystem::path folder;
  std::vector<Photo> photos;
  std::vector<std::string> unreadable;  ///< names of what looked like a photo and is broken
  std::vector<std::string> warnings;    ///< a sentence each, for the report
  [[nodiscard]] bool one_size() const;
};

/// The fewest photos a reconstruction is tried with.
inline constexpr std::size_t kFewestPhotos = 3;

/// Gathers the photos among `inputs`, and those in archives among them, into `folder` (made here)
/// by hard links. Names are made safe and, where two are equal, told apart by a number. What is no
/// photo is left out; a broken one too, with a warning that names it.
///
/// Kind `rejected`: "no_photos", "too_few_photos", "bad_archive". Blocks: call it on a pool; `stop`
/// ends it, with code "stopped".
Result<PhotoSet> collect_photos(const std::vector<storage::InputFile>& inputs,
                                const std::filesystem::path& folder,
                                const std::atomic<bool>& stop);

}  // namespace pn::runners::sfm
