#pragma once

#include "base/awaitable.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "storage/domain_calls.hpp"
#include "storage/domain_json.hpp"
#include "storage/file_body.hpp"
#include "storage/upload_feed.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace pn::storage {

/// One upload to its end, whatever the domain holds already (wire.md, Data):
/// looks the name up, sends nothing where the server shows that it has these bytes, updates or
/// creates, in one request or in parts. What became of a request whose answer was lost is looked up
/// before it is sent again. Constant memory. Lives for one run().
class Upload final {
 public:
  /// `calls` and `feed` outlive it.
  Upload(DomainCalls& calls, UploadFeed& feed, UploadTarget target);

  /// Cancellation is as PartsUpload has it.
  Awaitable<Result<DataItem>> run();

 private:
  /// The record of our name and type.
  Awaitable<Result<std::optional<DataItem>>> find();
  Awaitable<Result<void>> look_up();
  /// Whether the record has our bytes already. No, while their number is not known yet.
  Awaitable<Result<bool>> unchanged();
  /// Whether it has them by its server's digest.
  Awaitable<Result<bool>> has_ours(const DataItem& item);
  Awaitable<Result<std::string>> digest(std::uint64_t size);
  /// Kind `retry`, code "limits_unknown", when the server is not old and does not tell them.
  Awaitable<Result<UploadLimits>> limits();
  Awaitable<bool> needs_parts(const UploadLimits& allowed);
  Awaitable<Result<DataItem>> try_once(const UploadLimits& allowed);
  /// After a failure: looks the name up again where that may help.
  Awaitable<Result<bool>> worth_another(std::string code);
  Awaitable<Result<DataItem>> in_one_request();
  Awaitable<bool> still_to_send(const ContentSource& source,
                                std::uint64_t size,
                                std::optional<Result<DataItem>>& known);
  Awaitable<Result<DataItem>> in_parts();
  /// After a lost answer: what the server made of the request, if it was that.
  Awaitable<Result<std::optional<DataItem>>> find_ours(std::uint64_t size);
  [[nodiscard]] std::string envelope_head(const std::string& boundary) const;

  DomainCalls& calls_;
  UploadFeed& feed_;
  const UploadTarget target_;
  std::optional<DataId> id_;           ///< the record to update; nothing: create
  std::optional<DataItem> found_;      ///< as the last look-up saw it
  std::optional<std::string> digest_;  ///< of the whole content, once it was asked for
  bool parts_refused_ = false;         ///< an old server: one request whatever the size
  bool whole_refused_ = false;         ///< too large for one request, as an answer showed
};

}  // namespace pn::storage
