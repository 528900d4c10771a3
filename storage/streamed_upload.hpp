#pragma once

#include "base/awaitable.hpp"
#include "base/event.hpp"
#include "base/nursery.hpp"
#include "base/result.hpp"
#include "storage/domain_client.hpp"
#include "storage/spool.hpp"
#include "storage/upload_feed.hpp"

#include <memory>
#include <optional>
#include <string_view>

namespace pn::storage {

/// An upload beside the one who writes what it sends. Ends by finish() or give_up(), and is joined
/// after either: the parts that are under way, and the word to the server that nothing comes of
/// them, outlive the writer's last call. Thread: one loop's.
class StreamedUpload final {
 public:
  StreamedUpload(Executor executor,
                 std::shared_ptr<DomainClient> client,
                 std::unique_ptr<Spool> spool,
                 UploadTarget target);
  StreamedUpload(const StreamedUpload&) = delete;
  StreamedUpload& operator=(const StreamedUpload&) = delete;

  /// The error of an upload that failed is told to the next write().
  Awaitable<Result<void>> write(std::string_view bytes);
  /// Once, after the last write().
  Awaitable<Result<DataItem>> finish();
  /// Nothing of it stays, here or on the server.
  void give_up();
  Awaitable<void> join();
  /// Nothing is left to join.
  [[nodiscard]] bool over() const { return group_.live() == 0; }

 private:
  Awaitable<void> run();
  Awaitable<void> send();
  Awaitable<void> clean_up();

  const std::shared_ptr<DomainClient> client_;  // shared with the task's ports
  const std::unique_ptr<Spool> spool_;
  const UploadTarget target_;
  std::optional<Result<DataItem>> result_;
  bool cleaned_up_ = false;
  Event ended_;
  Nursery group_;
};

}  // namespace pn::storage
