#pragma once

#include "base/awaitable.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "storage/domain_client.hpp"
#include "storage/domain_json.hpp"
#include "storage/flights.hpp"
#include "storage/ports.hpp"

#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace pn::storage {

/// The inputs of one task, each CID in a folder of its own below `folder`. Thread: the transfer
/// loop's.
class TaskInputs final : public InputPort {
 public:
  /// `client` is shared by the two ports of a task. `folder` need not exist yet.
  TaskInputs(std::shared_ptr<DomainClient> client, std::filesystem::path folder);

  Awaitable<Result<Input>> fetch(Cid cid) override;
  /// DomainClientOptions::download_parallel at once.
  Awaitable<Result<std::vector<Input>>> fetch_all(std::vector<Cid> cids) override;

 private:
  /// One CID, or several of small items that one request brings.
  struct Job {
    std::vector<Cid> cids;
    std::vector<DataItem> listed;  ///< one each, in the same order; empty: not known
  };
  using Step = std::function<Awaitable<Result<void>>(std::size_t)>;

  Awaitable<Result<std::vector<Job>>> plan(std::vector<Cid> cids);
  Awaitable<Result<void>> look(std::span<const DataId> ids, std::map<DataId, DataItem>& found);
  Awaitable<Result<void>> do_job(const Job& job);
  Awaitable<Result<void>> fetch_group(const Job& job);
  Awaitable<Result<void>> fetch_listed(Cid cid, std::optional<DataItem> item);
  Awaitable<Result<Input>> bring(Cid cid, std::optional<DataItem> item);
  /// `step` for 0 to `count`, some at a time. The first failure ends the others and is answered.
  Awaitable<Result<void>> for_each(std::size_t count, const Step& step);
  [[nodiscard]] std::filesystem::path next_folder(const std::string& name);

  const std::shared_ptr<DomainClient> client_;
  const std::filesystem::path folder_;
  std::map<Cid, Input> fetched_;
  Flights flights_;  ///< CIDs on their way
  int started_ = 0;
};

}  // namespace pn::storage
