#include "storage/task_ports.hpp"

#include "base/awaitable.hpp"
#include "base/crash_point.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "storage/domain_client.hpp"
#include "storage/domain_json.hpp"
#include "storage/naming.hpp"
#include "storage/ports.hpp"

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pn::storage {

TaskArtifacts::TaskArtifacts(std::shared_ptr<DomainClient> client,
                             const TaskId& task,
                             std::string_view outputs_prefix)
    : client_(std::move(client)), names_(task, outputs_prefix) {}

TaskArtifacts::Entry& TaskArtifacts::entry(const ArtifactName& name) {
  for (Entry& known : entries_) {
    if (known.name == name) return known;
  }
  Entry fresh;
  fresh.name = name;
  entries_.push_back(std::move(fresh));
  return entries_.back();
}

Awaitable<Result<Artifact>> TaskArtifacts::put(std::string rel_path,
                                               PutOptions options,
                                               UploadOrder order) {
  const Result<ArtifactName> name = names_.name(rel_path, options);
  if (!name.ok()) co_return name.error();
  Entry& entry = this->entry(*name);
  order.name = name->name;
  order.data_type = name->data_type;
  order.existing = entry.id;
  const Result<DataItem> item = co_await client_->upload(std::move(order));
  if (!item.ok()) co_return item.error();
  crash_point("artifact.uploaded");
  entry.id = item->id;
  Artifact artifact;
  artifact.logical_path = name->logical_path;
  artifact.name = name->name;
  artifact.data_type = name->data_type;
  artifact.id = item->id;
  co_return artifact;
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

std::vector<Artifact> TaskArtifacts::artifacts() const {
  std::vector<Artifact> out;
  for (const Entry& entry : entries_) {
    if (!entry.id) continue;
    Artifact artifact;
    artifact.logical_path = entry.name.logical_path;
    artifact.name = entry.name.name;
    artifact.data_type = entry.name.data_type;
    artifact.id = *entry.id;
    out.push_back(std::move(artifact));
  }
  return out;
}

}  // namespace pn::storage
