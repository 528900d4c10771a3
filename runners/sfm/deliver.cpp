#include "base/file.hpp"
#include "base/nursery.hpp"
#include "base/offload.hpp"
#include "runners/sfm/export.hpp"
#include "runners/sfm/preview.hpp"
#include "runners/sfm/run.hpp"
#include "runners/task_context.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <set>

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

Result<std::string> draw(const Model& model, const fs::path& photos, const std::string& caption) {
  const View* view = choose_view(model);
  if (view == nullptr) return Error(ErrorKind::internal, "no_model", "there is no camera to draw");
  const Result<Image> photo = read_photo(photos / view->name, kPreviewPhotoPx);
  if (!photo) return photo.error();
  return encode_png(draw_preview(model, *view, *photo, caption));
}

}  // namespace

Awaitable<Result<void>> Run::deliver(const Outcome& outcome) {
  const SteadyTime start = task_.clock().steady_now();
  progress_.stage(Stage::export_, "writing the artifacts");
  report_.profile = name(outcome.profile);
  const Model* model = outcome.model ? &*outcome.model : nullptr;
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

  const Result<void> folder = make_folders(task_.workspace() / "out", 0700);
  if (!folder) co_return folder;
  std::vector<std::pair<std::string, std::string>> files = std::move(encoded.files);
  for (auto& file : preview.files) files.push_back(std::move(file));
  for (auto& [rel_path, bytes] : files) {
    const Result<void> done = co_await put(rel_path, std::move(bytes));
    if (!done) co_return done;
  }
  report_.seconds.export_ += seconds_since(start);
  report_.seconds.total = seconds_since(started_);
  std::string json = to_report_json(report_, model);
  Result<void> done = co_await put("report.json", std::move(json));
  if (!done) co_return done;
  std::string log = log_.text();
  done = co_await put("log.txt", std::move(log));
  if (!done) co_return done;
  if (encoded.error) co_return *encoded.error;
  task_.log().info("sfm.finished",
                   {{"registered", model != nullptr ? model->views.size() : 0},
                    {"points", model != nullptr ? model->points.size() : 0},
                    {"seconds", report_.seconds.total},
                    {"colmap_seconds", report_.seconds.colmap}});
  progress_.step(Stage::export_, Step{1, 1}, "files", "done");
  co_return Result<void>();
}

Awaitable<void> Run::encode(const Model& model, Encoded& out) {
  const auto work = [&model, &out] {
    out.files.emplace_back("points.ply", to_ply(model));
    Result<std::string> draco = to_draco(model);
    if (draco)
      out.files.emplace_back("points.drc", std::move(draco).value());
    else
      out.error = std::move(draco).error();
    out.files.emplace_back("cameras.json", to_cameras_json(model));
  };
  co_await offload(task_.compute(), work);
}

Awaitable<void> Run::picture(const Model& model, Encoded& out) {
  const std::string text = caption(model);
  const auto work = [this, &model, &text, &out] {
    Result<std::string> png = draw(model, photos_.folder, text);
    if (png)
      out.files.emplace_back("preview.png", std::move(png).value());
    else
      out.error = std::move(png).error();
  };
  co_await offload(task_.compute(), work);
}

Awaitable<Result<void>> Run::put(std::string rel_path, std::string bytes) {
  const fs::path path = task_.workspace() / "out" / rel_path;
  const auto work = [&path, &bytes] { return write_plain(path, bytes); };
  const Result<void> written = co_await offload(task_.compute(), work);
  if (!written) co_return written;
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
