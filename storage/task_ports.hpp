#pragma once

#include "base/ids.hpp"
#include "storage/domain_client.hpp"
#include "storage/domain_json.hpp"
#include "storage/naming.hpp"
#include "storage/ports.hpp"

#include <deque>
#include <filesystem>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pn::storage {

class StreamedUpload;

/// The outputs of one task. Thread: the transfer loop's.
class TaskArtifacts final : public ArtifactPort {
 public:
  /// Answers the folder for what is written before it is sent; asked when a stream is opened, on
  /// the transfer loop. It need not exist yet.
  using SpoolFolder = std::function<std::filesystem::path()>;
  TaskArtifacts(std::shared_ptr<DomainClient> client,
                const TaskId& task,
                std::string_view outputs_prefix,
                SpoolFolder spool_folder);

  Awaitable<Result<Artifact>> put_file(std::string rel_path,
                                       std::filesystem::path file,
                                       PutOptions options) override;
  Awaitable<Result<Artifact>> put_bytes(std::string rel_path,
                                        std::string bytes,
                                        PutOptions options) override;
  Awaitable<Result<std::unique_ptr<ArtifactStream>>> open_stream(std::string rel_path,
                                                                 PutOptions options) override;
  [[nodiscard]] std::vector<Artifact> artifacts() const override;
  Awaitable<void> close() override;

 private:
  /// One name of the task; listed once it is there.
  struct Entry {
    ArtifactName name;
    std::optional<DataItem> item;  ///< as the last put left it
  };
  class Stream;
  Awaitable<Result<Artifact>> put(std::string rel_path, PutOptions options, UploadOrder order);
  Entry& entry(const ArtifactName& name);
  static Artifact artifact(const Entry& entry);

  const std::shared_ptr<DomainClient> client_;
  const SpoolFolder spool_folder_;
  ArtifactNames names_;
  std::deque<Entry> entries_;  ///< references stay good while it grows
  int streams_opened_ = 0;
  /// Shared with the runner's handles: an upload is joined after its handle has gone.
  std::list<std::shared_ptr<StreamedUpload>> streams_;
};

}  // namespace pn::storage
