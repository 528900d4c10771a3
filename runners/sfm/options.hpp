#pragma once

#include "base/result.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pn::runners::sfm {

enum class Profile { fast, standard, fine };
enum class Matcher { automatic, exhaustive, sequential };

/// What a camera is known to be. Given by the task, it is kept fixed.
struct Intrinsics {
  std::string model;           ///< COLMAP's name, camera_models.hpp
  std::vector<double> params;  ///< in pixels of the photos as they came
  int width = 0;               ///< 0: not told
  int height = 0;

  friend bool operator==(const Intrinsics&, const Intrinsics&) = default;
};

/// A task's `meta`, checked.
struct Options {
  Profile profile = Profile::standard;
  Matcher matcher = Matcher::automatic;
  int overlap = 5;  ///< of the sequential matcher
  std::optional<int> max_features{};
  std::optional<int> max_image_px{};
  std::optional<Intrinsics> intrinsics{};
  double min_registered = 0.8;
  double max_error_px = 1.5;
};

/// What a profile means to COLMAP.
struct ProfileSettings {
  int first_octave = -1;
  int max_features = 4096;
  int max_image_px = 1000;

  friend bool operator==(const ProfileSettings&, const ProfileSettings&) = default;
};

/// Kind `rejected`, code "bad_meta", names the key; unknown keys too, so that a typing error does
/// not pass for a default.
Result<Options> parse_options(std::string_view meta_json);

/// The profile's values, where the task did not say its own. For a finer profile than the task
/// asked for, the larger of the two: the second try must not be the first one again.
ProfileSettings settings_of(const Options& options, Profile profile);

/// Nothing for the finest.
std::optional<Profile> finer(Profile profile);
std::string_view name(Profile profile);

/// What `automatic` means for so many photos: sequential from 25 on, where exhaustive would grow
/// with the square. A second try is exhaustive as long as it is bearable: the photos may be in no
/// order.
Matcher resolve(Matcher matcher, std::size_t photos, int attempt);

}  // namespace pn::runners::sfm
