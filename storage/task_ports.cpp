#include "storage/task_ports.hpp"

#include "base/awaitable.hpp"
#include "base/crash_point.hpp"
#include "base/file.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "storage/domain_client.hpp"
#include "storage/domain_json.hpp"
#include "storage/naming.hpp"
#include "storage/ports.hpp"
#include "storage/spool.hpp"
#include "storage/streamed_upload.hpp"
#include "storage/upload_feed.hpp"

#include <exception>
#include <filesystem>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/this_coro.hpp>

namespace pn::storage {

class TaskArtifacts::Stream final : public ArtifactStream {
 public:
  Stream(Entry& entry, std::shared_ptr<StreamedUpload> upload)
      : entry_(entry), upload_(std::move(upload)) {}
  ~Stream() override {
    if (!finished_) upload_->give_up();
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  Awaitable<Result<void>> write(std::string_view bytes) override {
    Result<void> written = co_await upload_->write(bytes);
    co_return written;
  }

  Awaitable<Result<Artifact>> finish() override {
    const Result<DataItem> item = co_await upload_->finish();
    finished_ = true;
    if (!item.ok()) co_return item.error();
    crash_point("artifact.uploaded");
    entry_.item = *item;
    co_return artifact(entry_);
  }

 private:
  Entry& entry_;
  const std::shared_ptr<StreamedUpload> upload_;  // shared with the port, which joins it
  bool finished_ = false;
};

TaskArtifacts::TaskArtifacts(std::shared_ptr<DomainClient> client,
                             const TaskId& task,
                             std::string_view outputs_prefix,
                             SpoolFolder spool_folder)
    : client_(std::move(client)),
      spool_folder_(std::move(spool_folder)),
      names_(task, outputs_prefix) {}

TaskArtifacts::Entry& TaskArtifacts::entry(const ArtifactName& name) {
  for (Entry& known : entries_) {
    if (known.name == name) return known;
  }
  Entry fresh;
  fresh.name = name;
  entries_.push_back(std::move(fresh));
  return entries_.back();
}

Artifact TaskArtifacts::artifact(const Entry& entry) {
  Artifact out;
  out.logical_path = entry.name.logical_path;
  out.name = entry.name.name;
  out.data_type = entry.name.data_type;
  out.id = entry.item->id;
  return out;
}

Awaitable<Result<Artifact>> TaskArtifacts::put(std::string rel_path,
                                               PutOptions options,
                                               UploadOrder order) {
  const Result<ArtifactName> name = names_.name(rel_path, options);
  if (!name.ok()) co_return name.error();
  Entry& entry = this->entry(*name);
  order.name = name->name;
  order.data_type = name->data_type;
  order.existing = entry.item;
  const Result<DataItem> item = co_await client_->upload(std::move(order));
  if (!item.ok()) co_return item.error();
  crash_point("artifact.uploaded");
  entry.item = *item;
  co_return artifact(entry);
}

Awaitable<Result<Artifact>> TaskArtifacts::put_file(std::string rel_path,
                                                    std::filesystem::path file,
                                                    PutOptions options) {
  UploadOrder order;
  order.file = std::move(file);
  Result<Artifact> done = co_await put(std::move(rel_path), std::move(options), std::move(order));
  co_return done;
}

Awaitable<Result<Artifact>> TaskArtifacts::put_bytes(std::string rel_path,
                                                     std::string bytes,
                                                     PutOptions options) {
  UploadOrder order;
  order.bytes = std::move(bytes);
  Result<Artifact> done = co_await put(std::move(rel_path), std::move(options), std::move(order));
  co_return done;
}

Awaitable<Result<std::unique_ptr<ArtifactStream>>> TaskArtifacts::open_stream(std::string rel_path,
                                                                              PutOptions options) {
  const Result<ArtifactName> name = names_.name(rel_path, options);
  if (!name.ok()) co_return name.error();
  std::erase_if(streams_, [](const auto& stream) { return stream->over(); });
  const std::filesystem::path path =
      spool_folder_() / ("stream-" + std::to_string(++streams_opened_));
  MakeRoom make_room = client_->make_room();
  Result<std::unique_ptr<Spool>> spool = co_await Spool::open(
      client_->files(), path, client_->upload_parallel(), std::move(make_room));
  if (!spool.ok()) co_return std::move(spool).error();
  Entry& entry = this->entry(*name);
  UploadTarget target;
  target.name = name->name;
  target.data_type = name->data_type;
  target.existing = entry.item;
  target.resume = UploadTarget::Resume::no;  // without its size nobody could tell it again
  const Executor executor = co_await asio::this_coro::executor;
  auto upload =
      std::make_shared<StreamedUpload>(executor, client_, *std::move(spool), std::move(target));
  streams_.push_back(upload);
  std::unique_ptr<ArtifactStream> out = std::make_unique<Stream>(entry, std::move(upload));
  co_return out;
}

std::vector<Artifact> TaskArtifacts::artifacts() const {
  std::vector<Artifact> out;
  for (const Entry& entry : entries_) {
    if (entry.item) out.push_back(artifact(entry));
  }
  return out;
}

Awaitable<void> TaskArtifacts::close() {
  for (const std::shared_ptr<StreamedUpload>& stream : streams_) stream->give_up();
  std::exception_ptr failure;
  for (const std::shared_ptr<StreamedUpload>& stream : streams_) {
    try {
      co_await stream->join();
    } catch (...) {  // the others are joined all the same
      if (!failure) failure = std::current_exception();
    }
  }
  streams_.clear();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace pn::storage
