#pragma once

#include "base/ids.hpp"
#include "storage/domain_client.hpp"
#include "storage/naming.hpp"
#include "storage/ports.hpp"

#include <deque>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pn::storage {

/// The outputs of one task. Thread: the transfer loop's.
class TaskArtifacts final : public ArtifactPort {
 public:
  TaskArtifacts(std::shared_ptr<DomainClient> client,
                const TaskId& task,
                std::string_view outputs_prefix);

  Awaitable<Result<Artifact>> put_file(std::string rel_path,
                                       std::filesystem::path file,
                                       PutOptions options) override;
  Awaitable<Result<Artifact>> put_bytes(std::string rel_path,
                                        std::string bytes,
                                        PutOptions options) override;
  [[nodiscard]] std::vector<Artifact> artifacts() const override;

 private:
  /// One name of the task; listed once it has an id.
  struct Entry {
    ArtifactName name;
    std::optional<DataId> id;
  };
  Awaitable<Result<Artifact>> put(std::string rel_path, PutOptions options, UploadOrder order);
  Entry& entry(const ArtifactName& name);

  const std::shared_ptr<DomainClient> client_;
  ArtifactNames names_;
  std::deque<Entry> entries_;  ///< references stay good while it grows
};

}  // namespace pn::storage
