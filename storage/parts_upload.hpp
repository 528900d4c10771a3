#pragma once

#include "base/awaitable.hpp"
#include "base/event.hpp"
#include "base/ids.hpp"
#include "base/nursery.hpp"
#include "base/result.hpp"
#include "http/url.hpp"
#include "storage/domain_calls.hpp"
#include "storage/domain_json.hpp"
#include "storage/file_body.hpp"
#include "storage/flights.hpp"
#include "storage/upload_feed.hpp"
#include "storage/upload_journal.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace pn::storage {

/// One upload in parts: begun, or taken up where an earlier one stopped; as many parts at a time as
/// the options say, each straight from the content; completed, or given up.
///
/// With a journal (for content whose size is known) each part is noted once it is acknowledged, and
/// what has been noted is sent again only where the content is another by now. Who ends what is
/// said at UploadJournal. One upload of a key at a time has the journal, whichever tasks they are
/// of: two would each take the other's parts for their own, and end the other's upload. Lives for
/// one run(). Thread: one loop's.
class PartsUpload final {
 public:
  struct Order {
    std::string name;
    std::string data_type;
    std::optional<DataId> existing{};  ///< the record to update; nothing: create
    UploadJournal* journal = nullptr;
  };
  /// `calls` and `feed` outlive it.
  PartsUpload(Executor executor, DomainCalls& calls, UploadFeed& feed, Order order);

  /// The first definite failure ends the other parts. Kind `restart`: code "parts_refused" (the
  /// server knows no parts), "upload_gone" (it forgot this one, or what was taken up does not fit),
  /// "completion_unknown" (an answer to the completion was lost, and the upload is gone: the record
  /// tells). Kind `rejected`, code "http_409": the name was taken meanwhile. Cancellation leaves or
  /// aborts it (for up to 10 s), then throws.
  Awaitable<Result<DataItem>> run();

 private:
  class Busy;

  [[nodiscard]] std::optional<Flights::Claim> claim() const;
  Awaitable<Result<DataItem>> judged();
  Awaitable<Result<DataItem>> upload();
  Awaitable<void> take_up();
  Awaitable<Result<void>> initiate();
  Awaitable<Result<void>> send_parts();
  Awaitable<void> send_part(std::uint32_t number, ContentSource::Range range);
  [[nodiscard]] Patience patience_for_part() const;
  Awaitable<Result<void>> put_part(std::uint32_t number, ContentSource::Range range);
  /// Until the server tells the part's etag, or its tries are used up.
  Awaitable<Result<std::string>> put_until_told(http::Request request);
  /// Whether the server has these very bytes as its part `number`.
  Awaitable<Result<bool>> is_there(std::uint32_t number, ContentSource::Range range);
  Awaitable<void> acknowledged(JournalledPart part);
  Awaitable<Result<DataItem>> complete();
  Awaitable<void> clean_up();
  [[nodiscard]] bool left_for_later() const;
  Awaitable<void> abort(std::string upload_id);
  Awaitable<void> forget(std::string upload_id);
  [[nodiscard]] http::Url upload_url(const std::string& upload_id) const;

  DomainCalls& calls_;
  UploadFeed& feed_;
  const Order order_;
  const UploadKey key_;
  const std::optional<Flights::Claim> claim_;  ///< to `key_` in the journal
  UploadJournal* const journal_;  ///< null: none, another's, or the size is not known yet

  std::string upload_id_;  ///< empty: none
  std::uint64_t part_size_ = 0;
  std::map<std::uint32_t, JournalledPart> known_;  ///< taken up, not looked at yet
  std::map<std::uint32_t, std::string> etags_;     ///< by part
  bool taken_up_ = false;
  std::size_t sent_ = 0;  ///< parts acknowledged in this run
  std::size_t busy_ = 0;
  bool done_ = false;
  bool gone_ = false;             ///< the server has it no more
  std::optional<Error> failure_;  ///< the first; nothing after a cancellation
  Event freed_;
  Nursery workers_;
};

}  // namespace pn::storage
