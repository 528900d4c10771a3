#pragma once

#include "base/log.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "node/write_fence.hpp"
#include "storage/upload_journal.hpp"

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace pn::node {

/// Where a node's uploads in parts stand, beside the outcomes in STATE_DIR/state.db but on a
/// connection of its own: what it writes is a hint, which waits for no disk and holds up no
/// outcome. Its tables are added to a file of any version, and an older node leaves them alone. A
/// disk that does not take it costs parts that are sent twice: that is said once
/// ("upload.journal_failed"), and fails nobody. Everything blocks. Thread: any.
class UploadLog final {
 public:
  /// Of a file that StateDb has opened, and so looked at.
  UploadLog(const std::filesystem::path& state_db, log::Logger logger);
  ~UploadLog();
  UploadLog(const UploadLog&) = delete;
  UploadLog& operator=(const UploadLog&) = delete;

  // As UploadJournal has it.
  std::optional<storage::JournalledUpload> find(const storage::UploadKey& key);
  void begin(const storage::UploadKey& key, const storage::JournalledUpload& upload);
  void part(const storage::UploadKey& key,
            const std::string& upload_id,
            const storage::JournalledPart& part);
  void end(const storage::UploadKey& key, const std::string& upload_id);

  /// Removes what was begun before `before`: no server remembers it.
  void expire(SystemTime before);

 private:
  struct Impl;
  /// Runs `steps` on the open database, and says once what failed.
  void attempt(const std::function<Result<void>(Impl&)>& steps);

  const log::Logger logger_;
  const std::unique_ptr<Impl> impl_;
};

/// A lease's view of the log. All outlive it.
class LeaseUploads final : public storage::UploadJournal {
 public:
  LeaseUploads(UploadLog& log, const WriteFence& fence) : log_(log), fence_(fence) {}

  std::optional<storage::JournalledUpload> find(const storage::UploadKey& key) override {
    return log_.find(key);
  }
  void begin(const storage::UploadKey& key, const storage::JournalledUpload& upload) override {
    log_.begin(key, upload);
  }
  void part(const storage::UploadKey& key,
            const std::string& upload_id,
            const storage::JournalledPart& part) override {
    log_.part(key, upload_id, part);
  }
  void end(const storage::UploadKey& key, const std::string& upload_id) override {
    log_.end(key, upload_id);
  }
  /// A task that is shut down, stalled or lost is leased again, perhaps by us; a canceled one is
  /// not.
  [[nodiscard]] bool kept() const override { return !fence_.canceled(); }

 private:
  UploadLog& log_;
  const WriteFence& fence_;
};

}  // namespace pn::node
