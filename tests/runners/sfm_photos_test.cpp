#include "base/file.hpp"
#include "base/result.hpp"
#include "runners/sfm/image_io.hpp"
#include "runners/sfm/photos.hpp"
#include "storage/archive_write.hpp"
#include "storage/ports.hpp"
#include "tests/runners/sfm_support.hpp"
#include "tests/support/temp_folder.hpp"

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>
#include <jpeglib.h>
#include <stdlib.h>  // NOLINT(modernize-deprecated-headers): mkdtemp

namespace pn::runners::sfm {
namespace {

namespace fs = std::filesystem;
using Names = std::vector<std::string>;

struct Folder {
  pn::testing::TempFolder home;
  fs::path path = home.path;
  std::vector<storage::InputFile> inputs;

  void add(const std::string& name, const std::string& bytes) {
    const fs::path at = path / "in" / std::to_string(inputs.size());
    write_bytes(at, bytes);
    storage::InputFile input;
    input.path = at;
    input.name = name;
    inputs.push_back(input);
  }
  void add_zip(const std::string& name,
               const std::vector<std::pair<std::string, std::string>>& files) {
    std::vector<storage::ArchiveEntry> entries;
    for (const auto& [entry, bytes] : files) {
      const fs::path at = path / "packed" / std::to_string(entries.size());
      write_bytes(at, bytes);
      entries.push_back({entry, at});
    }
    const std::atomic<bool> stop{false};
    REQUIRE(storage::write_archive(
        path / "made.zip", storage::ArchiveFormat::zip_stored, entries, stop));
    add(name, *read_file(path / "made.zip", 1 << 20));
  }
  /// With one entry of a name that nobody writes by himself.
  void add_zip_out_of_folder(const std::string& name) {
    add_zip("sound.zip", {{"xx/out.pgm", pgm()}});
    inputs.pop_back();
    std::string bytes = *read_file(path / "made.zip", 1 << 20);
    for (std::size_t at = bytes.find("xx/"); at != std::string::npos; at = bytes.find("xx/", at)) {
      bytes.replace(at, 2, "..");
    }
    add(name, bytes);
  }
  Result<PhotoSet> collect(bool stopped = false) {
    const std::atomic<bool> stop{stopped};
    return collect_photos(inputs, path / "photos", stop);
  }
};

Names names(const PhotoSet& set) {
  Names out;
  for (const Photo& photo : set.photos) out.push_back(photo.name);
  return out;
}

Image picture(int width, int height) {
  Image image(width, height);
  for (std::size_t i = 0; i < image.pixels.size(); ++i) {
    image.pixels[i] = static_cast<std::uint8_t>(i * 5);
  }
  return image;
}

/// A grey JPEG, dark left and bright right.
std::string jpeg(unsigned width, unsigned height) {
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* bytes = nullptr;
  unsigned long size = 0;  // NOLINT(google-runtime-int): libjpeg's type
  jpeg_mem_dest(&info, &bytes, &size);
  info.image_width = width;
  info.image_height = height;
  info.input_components = 1;
  info.in_color_space = JCS_GRAYSCALE;
  jpeg_set_defaults(&info);
  jpeg_start_compress(&info, TRUE);
  std::vector<unsigned char> row(width);
  for (unsigned x = 0; x < width; ++x) row[x] = static_cast<unsigned char>(x * 255 / width);
  while (info.next_scanline < height) {
    JSAMPROW at = row.data();
    jpeg_write_scanlines(&info, &at, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  std::string out(reinterpret_cast<const char*>(bytes), size);
  std::free(bytes);  // NOLINT(cppcoreguidelines-no-malloc): libjpeg's malloc
  return out;
}

}  // namespace

TEST_CASE("photos: in order of their names, whatever order they came in", "[runners][sfm]") {
  Folder folder;
  for (const char* name : {"c.pgm", "a.pgm", "b.pgm"}) folder.add(name, pgm());
  const Result<PhotoSet> set = folder.collect();
  REQUIRE(set);
  CHECK(names(*set) == Names{"a.pgm", "b.pgm", "c.pgm"});
  CHECK(set->one_size());
  CHECK(set->warnings.empty());
  CHECK(fs::file_size(folder.path / "photos" / "b.pgm") == pgm().size());
}

TEST_CASE("photos: names are made safe and unique", "[runners][sfm]") {
  Folder folder;
  folder.add("same.pgm", pgm(64, 48, 1));
  folder.add("same.pgm", pgm(64, 48, 2));
  folder.add("../up and/away.pgm", pgm());
  folder.add("no-extension", pgm());
  folder.add("wrong.jpg", pgm());
  const Result<PhotoSet> set = folder.collect();
  REQUIRE(set);
  CHECK(names(*set) ==
        Names{"_up_and_away.pgm", "no-extension.pgm", "same.pgm", "same_2.pgm", "wrong.jpg.pgm"});
}

TEST_CASE("photos: names keep their characters, and only whole ones", "[runners][sfm]") {
  Folder folder;
  const std::string umlaut = "\xc3\xb6";
  std::string many;
  for (int i = 0; i < 60; ++i) many += umlaut;
  folder.add("K" + umlaut + "ln.pgm", pgm());
  folder.add("K\xf6ln.pgm", pgm());   // Latin 1
  folder.add(many + "x.pgm", pgm());  // the cut falls into a character
  const Result<PhotoSet> set = folder.collect();
  REQUIRE(set);
  CHECK(names(*set) == Names{"K_ln.pgm", "K" + umlaut + "ln.pgm", many.substr(0, 94) + "x.pgm"});
}

TEST_CASE("photos: stops when told", "[runners][sfm]") {
  Folder folder;
  folder.add_zip("more.zip", {{"a.pgm", pgm()}, {"b.pgm", pgm()}, {"c.pgm", pgm()}});
  const Result<PhotoSet> set = folder.collect(true);
  REQUIRE_FALSE(set);
  CHECK(set.error().code == "stopped");
  CHECK(set.error().kind == ErrorKind::retry);
}

TEST_CASE("photos: too few is said once and for all", "[runners][sfm]") {
  Folder folder;
  const auto [count, code] = GENERATE(
      table<int, std::string>({{0, "no_photos"}, {1, "too_few_photos"}, {2, "too_few_photos"}}));
  for (int i = 0; i < count; ++i) folder.add("p" + std::to_string(i), pgm());
  folder.add("notes.txt", "these are notes");
  const Result<PhotoSet> set = folder.collect();
  REQUIRE_FALSE(set);
  CHECK(set.error().kind == ErrorKind::rejected);
  CHECK(set.error().code == code);
}

TEST_CASE("photos: what is broken is named, what is no photo is left out", "[runners][sfm]") {
  Folder folder;
  for (const char* name : {"a", "b", "c"}) folder.add(name, pgm());
  folder.add("cut.pgm", pgm().substr(0, 200));
  folder.add("torn.jpg", std::string("\xff\xd8\xff\xe0 and no more", 17));
  folder.add("half.png", "\x89PNG\r\n\x1a\n and no more");
  folder.add("notes.txt", "these are notes");
  const Result<PhotoSet> set = folder.collect();
  REQUIRE(set);
  CHECK(set->photos.size() == 3);
  CHECK(set->unreadable == Names{"cut.pgm", "torn.jpg", "half.png"});
  REQUIRE(set->warnings.size() == 4);
  CHECK_THAT(set->warnings[0], Catch::Contains("cut.pgm") && Catch::Contains("ends too early"));
  CHECK_THAT(set->warnings[3], Catch::Contains("notes.txt"));
}

TEST_CASE("photos: out of an archive", "[runners][sfm]") {
  Folder folder;
  folder.add("loose.pgm", pgm());
  folder.add_zip("more.zip",
                 {{"trip/b.pgm", pgm()},
                  {"trip/a.pgm", pgm(32, 32)},
                  {"trip/readme.txt", "hello"},
                  {"__MACOSX/trip/._a.pgm", pgm()}});
  const Result<PhotoSet> set = folder.collect();
  REQUIRE(set);
  CHECK(names(*set) == Names{"a.pgm", "b.pgm", "loose.pgm"});
  CHECK_FALSE(set->one_size());
}

TEST_CASE("photos: an archive that is broken or leaves its folder", "[runners][sfm]") {
  Folder folder;
  for (const char* name : {"a", "b", "c"}) folder.add(name, pgm());
  SECTION("broken") { folder.add("x.zip", "PK\x03\x04 and no more"); }
  SECTION("leaves its folder") { folder.add_zip_out_of_folder("x.zip"); }
  const Result<PhotoSet> set = folder.collect();
  REQUIRE_FALSE(set);
  CHECK(set.error().kind == ErrorKind::rejected);
  CHECK(set.error().code == "bad_archive");
  CHECK_THAT(set.error().detail, Catch::Contains("x.zip"));
  CHECK_FALSE(fs::exists(folder.path / "out.pgm"));
}

TEST_CASE("images: PNG and PGM come back as they were, smaller when asked", "[runners][sfm]") {
  Folder folder;
  const Image image = picture(60, 40);
  write_bytes(folder.path / "x.png", *encode_png(image));
  const Result<PhotoInfo> info = probe_photo(folder.path / "x.png");
  REQUIRE(info);
  CHECK(info->format == PhotoFormat::png);
  CHECK((info->width == 60 && info->height == 40));
  CHECK(read_photo(folder.path / "x.png", 1000)->pixels == image.pixels);
  const Result<Image> smaller = read_photo(folder.path / "x.png", 20);
  REQUIRE(smaller);
  CHECK((smaller->width == 20 && smaller->height == 13));

  write_bytes(folder.path / "x.pgm", "P5 2 1 255\n\x10\x20");
  CHECK(read_photo(folder.path / "x.pgm", 100)->pixels ==
        std::vector<std::uint8_t>{16, 16, 16, 32, 32, 32});
  write_bytes(folder.path / "x.ppm", "P6 1 1 255\nabc");
  CHECK(read_photo(folder.path / "x.ppm", 100)->pixels == std::vector<std::uint8_t>{97, 98, 99});
  write_bytes(folder.path / "wide.pgm", std::string("P5 1 1 65535\n\x80\x00", 15));
  CHECK(read_photo(folder.path / "wide.pgm", 100)->pixels ==
        std::vector<std::uint8_t>{127, 127, 127});
}

TEST_CASE("images: JPEG, whole and shrunk, and one that is cut", "[runners][sfm]") {
  Folder folder;
  const std::string bytes = jpeg(400, 300);
  write_bytes(folder.path / "x.jpg", bytes);
  const Result<PhotoInfo> info = probe_photo(folder.path / "x.jpg");
  REQUIRE(info);
  CHECK(info->format == PhotoFormat::jpeg);
  CHECK((info->width == 400 && info->height == 300));
  const Result<Image> whole = read_photo(folder.path / "x.jpg", 400);
  REQUIRE(whole);
  CHECK((whole->width == 400 && whole->height == 300));
  CHECK(whole->pixels[whole->at(10, 150)] < 30);
  CHECK(whole->pixels[whole->at(390, 150)] > 220);
  const Result<Image> smaller = read_photo(folder.path / "x.jpg", 100);
  REQUIRE(smaller);
  CHECK((smaller->width == 100 && smaller->height == 75));

  write_bytes(folder.path / "cut.jpg", bytes.substr(0, 100));
  CHECK(probe_photo(folder.path / "cut.jpg").error().code == "bad_photo");
}

TEST_CASE("images: headers that lie are refused before anything is allocated", "[runners][sfm]") {
  Folder folder;
  const auto [name, bytes] = GENERATE(table<std::string, std::string>({
      {"no size", "P5\n"},
      {"zero", "P5 0 10 255\n"},
      {"too large", "P5 99999999 99999999 255\nx"},
      {"maximum", "P5 1 1 70000\nxx"},
      {"only a comment", "P5 # and it never ends"},
  }));
  INFO(name);
  write_bytes(folder.path / "x.pgm", bytes);
  const Result<PhotoInfo> info = probe_photo(folder.path / "x.pgm");
  REQUIRE_FALSE(info);
  CHECK(info.error().code == "bad_photo");
  CHECK_FALSE(read_photo(folder.path / "x.pgm", 100));
}

}  // namespace pn::runners::sfm
