#include "node/storage_ports.hpp"

#include "base/awaitable.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"
#include "http/url.hpp"
#include "node/task_ports.hpp"
#include "node/upload_log.hpp"
#include "node/write_fence.hpp"
#include "storage/domain_calls.hpp"
#include "storage/domain_client.hpp"
#include "storage/task_inputs.hpp"
#include "storage/task_ports.hpp"
#include "storage/token_source.hpp"

#include <memory>
#include <string>
#include <utility>

namespace pn::node {
namespace {

/// A client owns its source; a lease's is the task's.
class BorrowedTokens final : public storage::TokenSource {
 public:
  explicit BorrowedTokens(storage::TokenSource& tokens) : tokens_(tokens) {}
  [[nodiscard]] Secret<std::string> current() override { return tokens_.current(); }
  Awaitable<bool> wait_newer(const Secret<std::string>& used) override {
    return tokens_.wait_newer(used);
  }

 private:
  storage::TokenSource& tokens_;
};

}  // namespace

Result<TaskPorts> StoragePorts::make(const PortsOrder& order) {
  if (order.domain_server_url.empty()) {
    return Error(ErrorKind::rejected,
                 "domain_server_missing",
                 "the lease names no domain server, and neither does the task's meta");
  }
  Result<http::Url> server = http::Url::parse(order.domain_server_url);
  if (!server) return within("domain_server_url", std::move(server).error());
  if (order.info.domain.empty()) {
    return Error(ErrorKind::rejected, "domain_missing", "the lease names no domain");
  }

  storage::DomainClientOptions options;
  options.client_id = config_.client_id;
  options.low_speed_bytes = config_.transfer_low_speed_bytes;
  options.low_speed_time = config_.transfer_low_speed_time;
  options.request_timeout = config_.request_timeout;
  options.upload_parallel = config_.upload_parallel;
  options.part_retries = config_.upload_part_retries;
  options.download_parallel = config_.download_parallel;
  options.max_input_bytes = config_.task_max_disk_mb * 1024 * 1024;
  TaskPorts out;
  out.http = std::make_unique<FencedHttp>(parts_.transfer_http, parts_.clock, order.fence);
  out.uploads = std::make_unique<LeaseUploads>(uploads_, order.fence);
  const auto client = std::make_shared<storage::DomainClient>(
      storage::DomainClientParts{.http = *out.http,
                                 .files = parts_.io,
                                 .clock = parts_.clock,
                                 .rng = parts_.rng,
                                 .limits = limits_,
                                 .logger = order.logger,
                                 .cache = cache_,
                                 .flights = &flights_,
                                 .journal = out.uploads.get(),
                                 .uploading = &uploading_},
      *std::move(server),
      order.info.domain,
      std::make_unique<BorrowedTokens>(order.tokens),
      std::move(options));
  out.inputs = std::make_unique<storage::TaskInputs>(client, order.folder / "inputs");
  auto spool_folder = [open = order.open_folder, folder = order.folder / "outputs"] {
    open();
    return folder;
  };
  out.outputs = std::make_unique<storage::TaskArtifacts>(
      client, order.info.id, order.info.outputs_prefix, std::move(spool_folder));
  return out;
}

}  // namespace pn::node
