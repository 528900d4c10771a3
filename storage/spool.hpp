#pragma once

#include "base/awaitable.hpp"
#include "base/event.hpp"
#include "base/file.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "storage/file_body.hpp"
#include "storage/upload_feed.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>

namespace pn::storage {

/// A file between one who writes it and an upload that reads it meanwhile. Whole until remove(), so
/// that all of it can be sent again. Thread: one loop's; the disk's work on the pool.
class Spool final : public UploadFeed {
 public:
  /// What counts as a piece before the reader has asked for one: its first calls may be tried for
  /// minutes, in which a runner could fill the disk.
  static constexpr std::uint64_t kFirstPiece = 8 * 1024 * 1024;
  /// `ahead`: how many of the pieces that the reader asks for may wait before the writer does.
  /// `pool` outlives it; the path's folders are made. `make_room` as write_all() has it, and as
  /// long as this is written to.
  static Awaitable<Result<std::unique_ptr<Spool>>> open(ThreadPool& pool,
                                                        std::filesystem::path path,
                                                        std::size_t ahead,
                                                        MakeRoom make_room);

  /// Returns when it is in the file and the reader is not too far behind, or has gone.
  Awaitable<Result<void>> write(std::string_view bytes);
  /// No more will come.
  void end();
  /// The reader has gone: nobody needs to wait for it.
  void release();
  /// Of the disk too, once a write that is under way has ended. The reader has gone.
  Awaitable<void> remove();

  [[nodiscard]] const Content& content() const override { return content_; }
  [[nodiscard]] std::optional<std::uint64_t> size() const override;
  Awaitable<std::uint64_t> available(std::uint64_t offset, std::uint64_t wanted) override;
  void wake() override;

 private:
  Spool(Executor executor,
        ThreadPool& pool,
        std::filesystem::path path,
        std::size_t ahead,
        MakeRoom make_room,
        UniqueFd fd,
        Content content);
  [[nodiscard]] bool is_far_ahead() const;

  ThreadPool& pool_;
  const std::filesystem::path path_;
  const std::size_t ahead_;
  const MakeRoom make_room_;
  std::shared_ptr<const UniqueFd> fd_;  ///< null when removed
  Content content_;                     ///< nothing when removed
  std::uint64_t written_ = 0;
  std::uint64_t asked_ = 0;                  ///< from where the reader wants more
  std::uint64_t asked_piece_ = kFirstPiece;  ///< and how much
  bool ended_ = false;
  bool woken_ = false;
  bool released_ = false;
  Event grown_;  ///< the reader's
  Event room_;   ///< the writer's
};

}  // namespace pn::storage
