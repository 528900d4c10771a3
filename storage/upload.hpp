#pragma once

#include "base/awaitable.hpp"
#include "base/result.hpp"
#include "storage/domain_calls.hpp"
#include "storage/domain_json.hpp"
#include "storage/file_body.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace pn::storage {

/// One upload to its end, whatever the domain holds already (protocol/domain-server.md, write):
/// looks the name up, updates or creates, in one request or in parts. Constant memory. Lives for
/// one run().
class Upload final {
 public:
  struct Target {
    std::string name;
    std::string data_type;
    std::optional<DataId> existing{};  ///< known already: no look-up
  };
  /// Both outlive it.
  Upload(DomainCalls& calls, const Content& content, Target target);

  /// Cancellation aborts an upload in parts on the server too (for up to 10 s), then throws.
  Awaitable<Result<DataItem>> run();

 private:
  Awaitable<Result<void>> look_up();
  /// Kind `retry`, code "limits_unknown", when the server is not old and does not tell them.
  Awaitable<Result<UploadLimits>> limits();
  [[nodiscard]] bool needs_parts(const UploadLimits& allowed) const;
  Awaitable<Result<DataItem>> try_once(bool in_parts);
  /// After a failure: looks the name up again where that may help.
  Awaitable<Result<bool>> worth_another(std::string code);
  Awaitable<Result<DataItem>> in_one_request();
  Awaitable<Result<DataItem>> in_parts();
  Awaitable<Result<DataItem>> send_parts(const MultipartUpload& upload);
  Awaitable<Result<UploadedPart>> send_part(const MultipartUpload& upload, std::uint32_t number);
  Awaitable<Result<DataItem>> complete(const MultipartUpload& upload, std::string body);
  Awaitable<Result<DataItem>> find_completed(Error error);
  Awaitable<void> abort(std::string upload_id);
  [[nodiscard]] std::string envelope_head(const std::string& boundary) const;
  [[nodiscard]] http::Url upload_url(const std::string& upload_id) const;

  DomainCalls& calls_;
  const Content& content_;
  const Target target_;
  std::optional<DataId> id_;       ///< the record to update; nothing: create
  std::optional<DataItem> found_;  ///< as the last look-up saw it
  bool parts_refused_ = false;     ///< an old server: one request whatever the size
};

}  // namespace pn::storage
