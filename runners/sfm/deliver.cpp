#include "base/awaitable.hpp"
#include "base/file.hpp"
#include "base/nursery.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "runners/sfm/colmap_model.hpp"
#include "runners/sfm/colmap_output.hpp"
#include "runners/sfm/export.hpp"
#include "runners/sfm/image_io.hpp"
#include "runners/sfm/options.hpp"
#include "runners/sfm/photos.hpp"
#include "runners/sfm/preview.hpp"
#include "runners/sfm/report.hpp"
#include "runners/sfm/run.hpp"
#include "runners/task_context.hpp"
#include "storage/archive_write.hpp"
#include "storage/ports.hpp"

#include <array>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/this_coro.hpp>

namespace pn::runners::sfm {
namespace {

namespace fs = std::filesystem;

/// The preview's photo is drawn 1,124 pixels wide at most, before it is halved.
constexpr int kPreviewPhotoPx = 1200;

/// "1,889"
std::string grouped(std::size_t number) {
  std::string out = std::to_string(number);
  for (std::size_t at = out.size(); at > 3;) out.insert(at -= 3, ",");
  return out;
}

/// No fsync: the artifact's home is the domain server.
Result<void> write_plain(const fs::path& path, std::string_view bytes) {
  const Result<UniqueFd> file = create_new(path);
  if (!file) return file.error();
  return write_all(file->get(), bytes);
}

/// COLMAP's three files, in one.
Result<void> write_model_zip(const fs::path& out,
                             const Model& model,
                             const std::atomic<bool>& stop) {
  const fs::path folder = out / "model";
  Result<void> made = make_folders(folder, 0700);
  if (!made) return made;
  const ModelFiles files = serialise(model);
  std::vector<storage::ArchiveEntry> entries;
  for (const auto& [name, bytes] : {std::pair("cameras.bin", &files.cameras),
                                    std::pair("images.bin", &files.images),
                                    std::pair("points3D.bin", &files.points)}) {
    const Result<void> written = write_plain(folder / name, *bytes);
    if (!written) return written;
    entries.push_back({name, folder / name});
  }
  return storage::write_archive(
      out / "model.zip", storage::ArchiveFormat::zip_stored, entries, stop);
}

Result<std::string> draw(const Model& model, const fs::path& photos, const std::string& caption) {
  const View* view = choose_view(model);
  if (view == nullptr) return Error(ErrorKind::internal, "no_model", "there is no camera to draw");
  const Result<Image> photo = read_photo(photos / view->name, kPreviewPhotoPx);
  if (!photo) return photo.error();
  return encode_png(draw_preview(model, *view, *photo, caption));
}

}  // namespace

fs::path Run::out() const { return task_.workspace() / "out"; }

Awaitable<Result<void>> Run::deliver(const Outcome& outcome) {
  const SteadyTime start = task_.clock().steady_now();
  progress_.stage(Stage::artifacts, "writing the artifacts");
  report_.profile = name(outcome.profile);
  const Model* model = outcome.model ? &*outcome.model : nullptr;
  const Result<void> folder = make_folders(out(), 0700);
  if (!folder) co_return folder;
  Encoded encoded;
  Encoded preview;
  if (model != nullptr) {
    const Executor executor = co_await asio::this_coro::executor;
    Nursery both(executor);
    both.spawn("sfm encode", encode(*model, encoded));
    both.spawn("sfm preview", picture(*model, preview));
    co_await both.join();
  }
  if (preview.error) report_.warnings.push_back("no preview: " + preview.error->detail);
  std::set<std::string> missing(photos_.unreadable.begin(), photos_.unreadable.end());
  for (const Photo& photo : photos_.photos) missing.insert(photo.name);
  if (model != nullptr) {
    for (const View& view : model->views) missing.erase(view.name);
  }
  report_.not_registered.assign(missing.begin(), missing.end());

  for (const Encoded* each : {&encoded, &preview}) {
    for (const std::string& rel_path : each->rel_paths) {
      const Result<void> done = co_await put(rel_path);
      if (!done) co_return done;
    }
  }
  report_.seconds.artifacts += seconds_since(start);
  report_.seconds.total = seconds_since(started_);
  std::string report = to_report_json(report_, model);
  Result<void> done = co_await write_and_put("report.json", std::move(report));
  if (!done) co_return done;
  std::string log = log_.text();
  done = co_await write_and_put("log.txt", std::move(log));
  if (!done) co_return done;
  if (encoded.error) co_return *encoded.error;
  task_.log().info("sfm.finished",
                   {{"registered", model != nullptr ? model->views.size() : 0},
                    {"points", model != nullptr ? model->points.size() : 0},
                    {"took_ms", std::lround(report_.seconds.total * 1000)},
                    {"colmap_ms", std::lround(report_.seconds.colmap * 1000)}});
  progress_.stage(Stage::artifacts, "done");
  co_return Result<void>();
}

Awaitable<void> Run::encode(const Model& model, Encoded& encoded) {
  const fs::path folder = out();
  const auto keep = [&](std::string_view rel_path, const Result<void>& written) {
    if (written)
      encoded.rel_paths.emplace_back(rel_path);
    else if (!encoded.error)
      encoded.error = written.error();
  };
  const auto work = [&](const std::atomic<bool>& stop) {
    keep("model.zip", write_model_zip(folder, model, stop));
    if (stop) return;
    keep("points.ply", write_plain(folder / "points.ply", to_ply(model)));
    if (stop) return;
    const Result<std::string> draco = to_draco(model);
    keep("points.drc", draco ? write_plain(folder / "points.drc", *draco) : draco.error());
    keep("cameras.json", write_plain(folder / "cameras.json", to_cameras_json(model)));
  };
  co_await offload_stoppable(task_.compute(), work);
}

Awaitable<void> Run::picture(const Model& model, Encoded& encoded) {
  const std::string text = caption(model);
  const fs::path path = out() / "preview.png";
  const auto work = [&]() -> Result<void> {
    const Result<std::string> png = draw(model, photos_.folder, text);
    if (!png) return png.error();
    return write_plain(path, *png);
  };
  const Result<void> drawn = co_await offload(task_.compute(), work);
  if (drawn)
    encoded.rel_paths.emplace_back("preview.png");
  else
    encoded.error = drawn.error();
}

Awaitable<Result<void>> Run::write_and_put(std::string rel_path, std::string bytes) {
  const fs::path path = out() / rel_path;
  const auto work = [&] { return write_plain(path, bytes); };
  const Result<void> written = co_await offload(task_.compute(), work);
  if (!written) co_return written;
  co_return co_await put(std::move(rel_path));
}

Awaitable<Result<void>> Run::put(std::string rel_path) {
  const fs::path path = out() / rel_path;
  const storage::PutOptions plain{};
  const Result<storage::Artifact> artifact =
      co_await task_.outputs().put_file(std::move(rel_path), path, plain);
  if (!artifact) co_return artifact.error();
  co_return Result<void>();
}

std::string Run::caption(const Model& model) const {
  std::array<char, 32> error{};
  std::snprintf(error.data(), error.size(), "%.2f px", model.mean_error_px());
  return std::to_string(model.views.size()) + " of " + std::to_string(photo_count()) +
         " photos \xc2\xb7 " + grouped(model.points.size()) + " points \xc2\xb7 " + error.data();
}

}  // namespace pn::runners::sfm
