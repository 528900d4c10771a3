#pragma once

#include "base/result.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace pn::runners::sfm {

enum class PhotoFormat { jpeg, png, pnm };

/// What a file's first bytes say it is.
struct PhotoInfo {
  PhotoFormat format = PhotoFormat::jpeg;
  int width = 0;
  int height = 0;
};

/// RGB, 8 bit, rows from the top without padding.
struct Image {
  int width = 0;
  int height = 0;
  std::vector<std::uint8_t> pixels;

  Image() = default;
  Image(int w, int h)
      : width(w),
        height(h),
        pixels(static_cast<std::size_t>(w) * static_cast<std::size_t>(h) * 3) {}
  [[nodiscard]] std::size_t at(int x, int y) const {
    return (static_cast<std::size_t>(y) * static_cast<std::size_t>(width) +
            static_cast<std::size_t>(x)) *
           3;
  }
};

/// The largest photo taken, in pixels: what a decoder may be made to allocate.
inline constexpr std::int64_t kMaxPhotoPixels = 200'000'000;

/// Reads the header only. Kind `not_found`, code "no_photo", for what is no JPEG, PNG, PGM or PPM;
/// `corrupt` "bad_photo" for what begins as one and is broken or too large.
Result<PhotoInfo> probe_photo(const std::filesystem::path& path);

/// Decodes, shrunk by a whole factor so that its longer side is at least `wanted_side` where the
/// photo has that: a preview needs no 50 megapixels. Grey becomes RGB. Kind `corrupt`, "bad_photo".
Result<Image> read_photo(const std::filesystem::path& path, int wanted_side);

/// A PNG file's bytes.
Result<std::string> encode_png(const Image& image);

}  // namespace pn::runners::sfm
