#include "storage/spool.hpp"

#include "base/awaitable.hpp"
#include "base/file.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "storage/file_body.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include <boost/asio/this_coro.hpp>
#include <unistd.h>

namespace pn::storage {
namespace {

struct Opened {
  UniqueFd fd;
  Content content;
};

Result<Opened> open_both(const std::filesystem::path& path) {
  const Result<void> folders = make_folders(path.parent_path(), 0700);
  if (!folders.ok()) return folders.error();
  Result<UniqueFd> fd = create_new(path, 0600);
  if (!fd.ok()) return std::move(fd).error();
  Result<Content> content = Content::of_growing_file(path);
  if (!content.ok()) return std::move(content).error();
  return Opened{.fd = *std::move(fd), .content = *std::move(content)};
}

}  // namespace

Awaitable<Result<std::unique_ptr<Spool>>> Spool::open(ThreadPool& pool,
                                                      std::filesystem::path path,
                                                      std::size_t ahead,
                                                      MakeRoom make_room) {
  const auto work = [&path] { return open_both(path); };
  Result<Opened> opened = co_await offload(pool, work);
  if (!opened.ok()) co_return std::move(opened).error();
  const Executor executor = co_await asio::this_coro::executor;
  Opened both = *std::move(opened);
  co_return std::unique_ptr<Spool>(new Spool(executor,
                                             pool,
                                             std::move(path),
                                             ahead,
                                             std::move(make_room),
                                             std::move(both.fd),
                                             std::move(both.content)));
}

Spool::Spool(Executor executor,
             ThreadPool& pool,
             std::filesystem::path path,
             std::size_t ahead,
             MakeRoom make_room,
             UniqueFd fd,
             Content content)
    : pool_(pool),
      path_(std::move(path)),
      ahead_(std::max<std::size_t>(ahead, 1)),
      make_room_(std::move(make_room)),
      fd_(std::make_shared<const UniqueFd>(std::move(fd))),
      content_(std::move(content)),
      grown_(executor),
      room_(executor) {}

Awaitable<Result<void>> Spool::write(std::string_view bytes) {
  // Held, because remove() may come while this waits for a thread: the number would be another
  // file's by then.
  const std::shared_ptr<const UniqueFd> fd = fd_;
  if (!fd) co_return Error(ErrorKind::internal, "spool_removed", "written after it was removed");
  const auto work = [this, &fd, bytes] { return write_all(fd->get(), bytes, make_room_); };
  Result<void> written = co_await offload(pool_, work);
  if (!written.ok()) co_return written;
  written_ += bytes.size();
  grown_.set();
  while (is_far_ahead()) co_await room_.wait();
  co_return written;
}

bool Spool::is_far_ahead() const {
  if (released_ || ended_) return false;
  return (written_ - asked_) / asked_piece_ >= ahead_;
}

void Spool::end() {
  ended_ = true;
  grown_.set();
}

void Spool::release() {
  released_ = true;
  room_.set();
}

std::optional<std::uint64_t> Spool::size() const {
  if (!ended_) return std::nullopt;
  return written_;
}

Awaitable<std::uint64_t> Spool::available(std::uint64_t offset, std::uint64_t wanted) {
  asked_ = std::min(offset, written_);
  asked_piece_ = std::max<std::uint64_t>(wanted, 1);
  room_.set();
  woken_ = false;
  while (!ended_ && !woken_ && written_ - asked_ < wanted) co_await grown_.wait();
  co_return std::min(wanted, written_ - asked_);
}

void Spool::wake() {
  woken_ = true;
  grown_.set();
}

Awaitable<void> Spool::remove() {
  std::shared_ptr<const UniqueFd> fd = std::exchange(fd_, nullptr);
  const auto work = [this, &fd] {
    ::unlink(path_.c_str());
    fd.reset();
    content_ = Content::of_bytes({});  // its descriptor, which would keep what has no name
  };
  co_await offload(pool_, work);
}

}  // namespace pn::storage
