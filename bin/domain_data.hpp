#pragma once

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/ids.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "bin/client_session.hpp"
#include "storage/domain_client.hpp"

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pn::bin {

using storage::DataItem;

struct DataFilter {
  std::string name;  ///< empty: any
  std::string data_type;
};

/// What came of sending a file.
struct PutFile {
  DataItem item;
  bool reused = false;  ///< the same bytes were there already
};

/// A domain's data, for client commands: storage's client, signed in by a ClientSession when it is
/// first asked. One loop's. Errors: those of both.
class DomainData final {
 public:
  /// References outlive it.
  DomainData(ClientSession& session, Clock& clock, Rng& rng, ThreadPool& io);
  ~DomainData();
  DomainData(const DomainData&) = delete;
  DomainData& operator=(const DomainData&) = delete;

  Awaitable<Result<std::vector<DataItem>>> list(DataFilter filter);
  /// One item's metadata; kind `not_found`.
  Awaitable<Result<DataItem>> describe(DataId id);
  /// Sends a file. Without a name it gets `<stem>_<12 hex digits of its SHA-256>`, and is not sent
  /// where that is there already; with one, what has that name and type is replaced, but not where
  /// its digest is the file's.
  Awaitable<Result<PutFile>> put(std::filesystem::path file, std::string name, std::string type);
  /// Into `to`, which appears whole or not at all and replaces what was there.
  Awaitable<Result<void>> get(DataId id, std::filesystem::path to);
  Awaitable<Result<void>> remove(DataId id);

 private:
  Awaitable<Result<void>> ready();

  ClientSession& session_;
  ThreadPool& io_;
  storage::LimitsCache limits_;
  const storage::DomainClientParts parts_;
  std::optional<storage::DomainClient> client_;
};

}  // namespace pn::bin
