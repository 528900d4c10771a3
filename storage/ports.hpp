#pragma once

#include "base/awaitable.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pn::storage {

/// One data item as a task sees it: on disk, whole and checked.
struct InputFile {
  std::filesystem::path path;
  DataId id;
  std::string name;
  std::string data_type;
  std::uint64_t size = 0;
};

/// What one CID brought: the primary item first, then its related files.
struct Input {
  Cid cid;
  std::vector<InputFile> files;  ///< never empty
};

// What runners see of a task's data. Thread: the task's loop (a runner's coroutine runs there); any
// number of calls may be under way. Cancelling one ends its transfer and removes what it was
// fetching, then throws. What docs/storage.md does about networks and servers is done before an
// Error is answered: `retry` and `unauthorized` then say that another attempt may succeed, `full`
// that another node may, `not_found`, `rejected` and `corrupt` that the request or the data is at
// fault.

/// The inputs of one task. Each request takes the newest task token.
class InputPort {
 public:
  virtual ~InputPort() = default;
  /// Downloads one CID into the workspace, streaming; a second fetch of the same CID answers the
  /// files already there. Kind `rejected`, code "cid_elsewhere", for a CID of another server or
  /// domain than the lease's; `not_found`; `full`, code "task_disk_full".
  virtual Awaitable<Result<Input>> fetch(Cid cid) = 0;
  /// Several at once, answered in the order asked; many small ones share requests. The first
  /// failure ends the others.
  virtual Awaitable<Result<std::vector<Input>>> fetch_all(std::vector<Cid> cids) = 0;
};

/// One artifact that the domain server has acknowledged; the receipt lists them all.
struct Artifact {
  std::string logical_path;
  std::string name;
  std::string data_type;
  DataId id;

  friend bool operator==(const Artifact&, const Artifact&) = default;
};

struct PutOptions {
  std::string name{};       ///< empty: by the rules of wire.md, Data
  std::string data_type{};  ///< empty: from the extension
};

/// An artifact whose size its runner does not know yet. It goes through a file of the workspace,
/// and out of there while more is written. Destroyed before finish() has answered: nothing of it
/// stays.
class ArtifactStream {
 public:
  virtual ~ArtifactStream() = default;
  /// Waits where the network is slower than the runner. `bytes` live until the await ends. The
  /// error of an upload that failed meanwhile is told here too.
  virtual Awaitable<Result<void>> write(std::string_view bytes) = 0;
  /// Once, after the last write().
  virtual Awaitable<Result<Artifact>> finish() = 0;
};

/// The outputs of one task.
class ArtifactPort {
 public:
  virtual ~ArtifactPort() = default;
  /// Uploads a file under `rel_path` ("points.ply", "mesh/low.obj"); a second put of the same path
  /// replaces the first. The file must not change meanwhile (`corrupt`, code "file_changed", where
  /// it is seen). Kind `rejected`, code "artifact_path" or "data_name", for a path or a name that
  /// cannot be.
  virtual Awaitable<Result<Artifact>> put_file(std::string rel_path,
                                               std::filesystem::path file,
                                               PutOptions options) = 0;
  virtual Awaitable<Result<Artifact>> put_bytes(std::string rel_path,
                                                std::string bytes,
                                                PutOptions options) = 0;
  /// One stream a `rel_path` at a time. The port outlives it.
  virtual Awaitable<Result<std::unique_ptr<ArtifactStream>>> open_stream(std::string rel_path,
                                                                         PutOptions options) = 0;
  /// In the order of their first put.
  [[nodiscard]] virtual std::vector<Artifact> artifacts() const = 0;
  /// Not a runner's: after it has ended, until nothing of its streams is under way.
  virtual Awaitable<void> close() = 0;
};

}  // namespace pn::storage
