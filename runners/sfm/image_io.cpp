#include "runners/sfm/image_io.hpp"

#include "base/file.hpp"
#include "base/result.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

#include <jpeglib.h>
#include <png.h>

namespace pn::runners::sfm {
namespace {

namespace fs = std::filesystem;

Error bad_photo(const fs::path& path, std::string_view why) {
  return {ErrorKind::corrupt, "bad_photo", path.filename().string() + ": " + std::string(why)};
}

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

// --- JPEG ---------------------------------------------------------------------------------------

struct JpegErrors {
  jpeg_error_mgr base;
  std::jmp_buf back;
  std::array<char, JMSG_LENGTH_MAX> text;
};

[[noreturn]] void jpeg_failed(j_common_ptr info) {
  auto* errors = reinterpret_cast<JpegErrors*>(info->err);
  info->err->format_message(info, errors->text.data());
  std::longjmp(errors->back, 1);
}

void jpeg_silent(j_common_ptr /*info*/) {}

/// All that a longjmp out of libjpeg must not skip lives here, made before the setjmp.
struct JpegReader {
  jpeg_decompress_struct info{};
  JpegErrors errors{};
  File file;

  explicit JpegReader(const fs::path& path) : file(std::fopen(path.c_str(), "rbe")) {
    info.err = jpeg_std_error(&errors.base);
    errors.base.error_exit = jpeg_failed;
    errors.base.output_message = jpeg_silent;
    jpeg_create_decompress(&info);
  }
  ~JpegReader() { jpeg_destroy_decompress(&info); }
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;

  [[nodiscard]] bool header() {
    if (!file) return false;
    if (setjmp(errors.back) != 0) return false;
    jpeg_stdio_src(&info, file.get());
    return jpeg_read_header(&info, TRUE) == JPEG_HEADER_OK;
  }

  [[nodiscard]] bool start(unsigned shrink) {
    if (setjmp(errors.back) != 0) return false;
    info.scale_num = 1;
    info.scale_denom = shrink;
    info.out_color_space = JCS_RGB;
    return jpeg_start_decompress(&info) == TRUE;
  }

  [[nodiscard]] bool rows(std::uint8_t* out) {
    if (setjmp(errors.back) != 0) return false;
    while (info.output_scanline < info.output_height) {
      JSAMPROW row = out + std::size_t{info.output_scanline} * info.output_width * 3;
      jpeg_read_scanlines(&info, &row, 1);
    }
    return true;
  }
};

Result<PhotoInfo> probe_jpeg(const fs::path& path) {
  JpegReader reader(path);
  if (!reader.header()) return bad_photo(path, reader.errors.text.data());
  return PhotoInfo{.format = PhotoFormat::jpeg,
                   .width = static_cast<int>(reader.info.image_width),
                   .height = static_cast<int>(reader.info.image_height)};
}

Result<Image> read_jpeg(const fs::path& path, int wanted_side) {
  JpegReader reader(path);
  if (!reader.header()) return bad_photo(path, reader.errors.text.data());
  const auto side = static_cast<int>(std::max(reader.info.image_width, reader.info.image_height));
  unsigned shrink = 1;
  while (shrink < 8 && side / static_cast<int>(shrink * 2) >= wanted_side) shrink *= 2;
  if (!reader.start(shrink)) return bad_photo(path, reader.errors.text.data());
  Image out(static_cast<int>(reader.info.output_width),
            static_cast<int>(reader.info.output_height));
  if (!reader.rows(out.pixels.data())) return bad_photo(path, reader.errors.text.data());
  return out;
}

// --- PNG ----------------------------------------------------------------------------------------

struct PngReader {
  png_image image{};
  explicit PngReader() { image.version = PNG_IMAGE_VERSION; }
  ~PngReader() { png_image_free(&image); }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;
};

Result<PhotoInfo> probe_png(const fs::path& path) {
  PngReader reader;
  if (png_image_begin_read_from_file(&reader.image, path.c_str()) == 0) {
    return bad_photo(path, reader.image.message);
  }
  return PhotoInfo{.format = PhotoFormat::png,
                   .width = static_cast<int>(reader.image.width),
                   .height = static_cast<int>(reader.image.height)};
}

Result<Image> read_png(const fs::path& path) {
  PngReader reader;
  if (png_image_begin_read_from_file(&reader.image, path.c_str()) == 0) {
    return bad_photo(path, reader.image.message);
  }
  reader.image.format = PNG_FORMAT_RGB;
  Image out(static_cast<int>(reader.image.width), static_cast<int>(reader.image.height));
  constexpr png_color kBehind{255, 255, 255};
  if (png_image_finish_read(&reader.image, &kBehind, out.pixels.data(), 0, nullptr) == 0) {
    return bad_photo(path, reader.image.message);
  }
  return out;
}

// --- PGM and PPM (binary) -----------------------------------------------------------------------

struct PnmHeader {
  int channels = 1;
  int width = 0;
  int height = 0;
  int maximum = 255;
  std::size_t data_at = 0;
};

/// "P5 <width> <height> <maximum>", with comments anywhere between, then one white space.
std::optional<PnmHeader> parse_pnm(std::string_view head) {
  if (head.size() < 3 || head[0] != 'P' || (head[1] != '5' && head[1] != '6')) return std::nullopt;
  PnmHeader out;
  out.channels = head[1] == '5' ? 1 : 3;
  std::size_t at = 2;
  for (int* field : {&out.width, &out.height, &out.maximum}) {
    while (at < head.size() &&
           (std::isspace(static_cast<unsigned char>(head[at])) != 0 || head[at] == '#')) {
      if (head[at] == '#')
        at = std::min(head.find('\n', at), head.size());
      else
        ++at;
    }
    std::int64_t value = 0;
    const std::size_t start = at;
    while (at < head.size() && std::isdigit(static_cast<unsigned char>(head[at])) != 0) {
      value = std::min<std::int64_t>(value * 10 + (head[at] - '0'), 1'000'000'000);
      ++at;
    }
    if (at == start || value == 0) return std::nullopt;
    *field = static_cast<int>(value);
  }
  if (at >= head.size() || out.maximum > 65535) return std::nullopt;
  out.data_at = at + 1;
  return out;
}

std::size_t pnm_row_bytes(const PnmHeader& header) {
  return static_cast<std::size_t>(header.width) * static_cast<std::size_t>(header.channels) *
         (header.maximum > 255 ? 2U : 1U);
}

Result<PhotoInfo> probe_pnm(const fs::path& path, std::string_view head) {
  const std::optional<PnmHeader> header = parse_pnm(head);
  if (!header) return bad_photo(path, "its PGM header cannot be read");
  std::error_code failed;
  const std::uintmax_t size = fs::file_size(path, failed);
  const std::uintmax_t needed =
      header->data_at + pnm_row_bytes(*header) * static_cast<std::uintmax_t>(header->height);
  if (!failed && size < needed) return bad_photo(path, "it ends too early");
  return PhotoInfo{.format = PhotoFormat::pnm, .width = header->width, .height = header->height};
}

Result<Image> read_pnm(const fs::path& path) {
  const Result<std::string> bytes =
      read_file(path, static_cast<std::uint64_t>(kMaxPhotoPixels) * 6 + 4096);
  if (!bytes) return bytes.error();
  const std::optional<PnmHeader> header = parse_pnm(*bytes);
  if (!header) return bad_photo(path, "its PGM header cannot be read");
  const std::size_t row_bytes = pnm_row_bytes(*header);
  if (bytes->size() < header->data_at + row_bytes * static_cast<std::size_t>(header->height)) {
    return bad_photo(path, "it ends too early");
  }
  Image out(header->width, header->height);
  const auto* from = reinterpret_cast<const unsigned char*>(bytes->data()) + header->data_at;
  const auto channels = static_cast<std::size_t>(header->channels);
  const bool wide = header->maximum > 255;
  const std::size_t count = out.pixels.size() / 3;
  const auto sample = [&](std::size_t index) {
    const int value = wide ? from[index * 2] << 8 | from[index * 2 + 1] : from[index];
    return static_cast<std::uint8_t>(std::min(255, value * 255 / header->maximum));
  };
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t c = 0; c < 3; ++c) {
      out.pixels[i * 3 + c] = sample(i * channels + std::min(c, channels - 1));
    }
  }
  return out;
}

}  // namespace

Result<PhotoInfo> probe_photo(const fs::path& path) {
  const Result<UniqueFd> fd = open_read(path);
  if (!fd) return fd.error();
  std::array<char, 4096> buffer{};
  std::size_t got = 0;
  while (got < buffer.size()) {
    const Result<std::size_t> more = read_some(fd->get(), std::span(buffer).subspan(got));
    if (!more) return more.error();
    if (*more == 0) break;
    got += *more;
  }
  const std::string_view head(buffer.data(), got);
  Result<PhotoInfo> out = Error(ErrorKind::not_found,
                                "no_photo",
                                path.filename().string() + " is no JPEG, PNG, PGM or PPM file");
  if (head.starts_with("\xff\xd8\xff"))
    out = probe_jpeg(path);
  else if (head.starts_with("\x89PNG\r\n\x1a\n"))
    out = probe_png(path);
  else if (head.starts_with("P5") || head.starts_with("P6"))
    out = probe_pnm(path, head);
  if (!out) return out;
  if (std::int64_t{out->width} * out->height > kMaxPhotoPixels) {
    return bad_photo(path, "it has more than 200 megapixels");
  }
  return out;
}

Result<Image> read_photo(const fs::path& path, int wanted_side) {
  const Result<PhotoInfo> info = probe_photo(path);
  if (!info) return info.error();
  Result<Image> whole = info->format == PhotoFormat::jpeg  ? read_jpeg(path, wanted_side)
                        : info->format == PhotoFormat::png ? read_png(path)
                                                           : read_pnm(path);
  if (!whole) return whole;
  const int shrink = std::max(whole->width, whole->height) / std::max(1, wanted_side);
  if (shrink < 2) return whole;
  Image out(whole->width / shrink, whole->height / shrink);
  const auto area = static_cast<unsigned>(shrink * shrink);
  for (int y = 0; y < out.height; ++y) {
    for (int x = 0; x < out.width; ++x) {
      for (std::size_t c = 0; c < 3; ++c) {
        unsigned sum = 0;
        for (int dy = 0; dy < shrink; ++dy) {
          const std::size_t row = whole->at(x * shrink, y * shrink + dy) + c;
          for (int dx = 0; dx < shrink; ++dx) {
            sum += whole->pixels[row + static_cast<std::size_t>(dx) * 3];
          }
        }
        out.pixels[out.at(x, y) + c] = static_cast<std::uint8_t>(sum / area);
      }
    }
  }
  return out;
}

Result<std::string> encode_png(const Image& image) {
  struct Writer {
    png_structp png = nullptr;
    png_infop info = nullptr;
    std::string bytes;
    Writer() : png(png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr)) {
      if (png != nullptr) info = png_create_info_struct(png);
    }
    ~Writer() { png_destroy_write_struct(&png, &info); }
    Writer(const Writer&) = delete;
    Writer& operator=(const Writer&) = delete;
  };
  Writer writer;
  if (writer.info == nullptr || setjmp(png_jmpbuf(writer.png)) != 0) {
    return Error(ErrorKind::internal, "png_failed", "cannot encode a PNG");
  }
  png_set_write_fn(
      writer.png,
      &writer.bytes,
      [](png_structp png, unsigned char* data, std::size_t size) {
        static_cast<std::string*>(png_get_io_ptr(png))
            ->append(reinterpret_cast<const char*>(data), size);
      },
      nullptr);
  png_set_IHDR(writer.png,
               writer.info,
               static_cast<std::uint32_t>(image.width),
               static_cast<std::uint32_t>(image.height),
               8,
               PNG_COLOR_TYPE_RGB,
               PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  png_set_compression_level(writer.png, 4);  // half the time of the default for 5 % more bytes
  png_write_info(writer.png, writer.info);
  for (int y = 0; y < image.height; ++y) {
    png_write_row(writer.png, image.pixels.data() + image.at(0, y));
  }
  png_write_end(writer.png, nullptr);
  return std::move(writer.bytes);
}

}  // namespace pn::runners::sfm
