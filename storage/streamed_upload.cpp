#include "storage/streamed_upload.hpp"

#include "base/awaitable.hpp"
#include "base/finally.hpp"
#include "base/nursery.hpp"
#include "base/result.hpp"
#include "storage/domain_client.hpp"
#include "storage/domain_json.hpp"
#include "storage/spool.hpp"
#include "storage/upload_feed.hpp"

#include <functional>
#include <memory>
#include <string_view>
#include <utility>

namespace pn::storage {

StreamedUpload::StreamedUpload(Executor executor,
                               std::shared_ptr<DomainClient> client,
                               std::unique_ptr<Spool> spool,
                               UploadTarget target)
    : client_(std::move(client)),
      spool_(std::move(spool)),
      target_(std::move(target)),
      ended_(executor),
      group_(executor) {
  group_.spawn("artifact stream", run());
}

Awaitable<void> StreamedUpload::run() {
  Awaitable<void> sending = send();
  const std::function<Awaitable<void>()> cleaning = [this] { return clean_up(); };
  co_await finally<void>(std::move(sending), cleaning);
}

Awaitable<void> StreamedUpload::clean_up() {
  spool_->release();  // however it ended: a writer may be waiting
  co_await spool_->remove();
  cleaned_up_ = true;
  ended_.set();
}

Awaitable<void> StreamedUpload::send() {
  UploadTarget target = target_;
  Result<DataItem> done = co_await client_->upload(std::move(target), *spool_);
  result_ = std::move(done);
}

Awaitable<Result<void>> StreamedUpload::write(std::string_view bytes) {
  Result<void> written;
  if (!result_) written = co_await spool_->write(bytes);
  if (result_ && !result_->ok()) co_return result_->error();
  co_return written;
}

Awaitable<Result<DataItem>> StreamedUpload::finish() {
  spool_->end();
  while (!cleaned_up_) co_await ended_.wait();
  if (result_) co_return *result_;
  co_return Error(ErrorKind::internal, "stream_dropped", "the stream was given up");
}

void StreamedUpload::give_up() { group_.cancel(); }

Awaitable<void> StreamedUpload::join() { co_await group_.join(); }

}  // namespace pn::storage
