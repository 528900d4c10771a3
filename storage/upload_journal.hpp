#pragma once

#include "base/ids.hpp"
#include "base/result.hpp"
#include "base/time.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace pn::storage {

/// What names one upload in parts: the same for a task's next attempt, whose artifacts have the
/// same names.
struct UploadKey {
  std::string server;  ///< its base URL
  DomainId domain;
  std::string name;
  std::string data_type;

  friend bool operator==(const UploadKey&, const UploadKey&) = default;
};

struct JournalledPart {
  std::uint32_t number = 0;
  std::string etag;
  std::string sha256;  ///< hex, of the bytes that were sent: the server's etag says nothing of them

  friend bool operator==(const JournalledPart&, const JournalledPart&) = default;
};

/// An upload that a server holds parts of.
struct JournalledUpload {
  std::string upload_id;
  std::uint64_t part_size = 0;
  std::uint64_t size = 0;               ///< as declared to the server
  std::optional<DataId> existing{};     ///< the record that it replaces
  SystemTime begun{};                   ///< servers forget uploads; so may we
  std::vector<JournalledPart> parts{};  ///< what the server acknowledged, by number

  friend bool operator==(const JournalledUpload&, const JournalledUpload&) = default;
};

/// Which parts of which uploads a server has, so that a node that died sends only what is missing.
/// The seam between an upload and STATE_DIR; a client command has none. What it holds is a hint: an
/// upload that the server forgot, or content that changed, costs the parts again and nothing else;
/// so a journal that fails is logged by its owner and otherwise forgets. Who uses a key has claimed
/// it (PartsUpload). All calls but kept() block, and come from any thread.
///
/// Who ends what. An upload that is done, or failed for good, ends its entry, and the latter is
/// aborted on the server. One that is cut short (cancelled, or the server was away for too long, or
/// the lease is lost) is neither aborted nor ended while kept() says that another attempt may come:
/// that one takes it up. It is not aborted either where it could be: the next attempt may be at it
/// by then. Once no attempt will come, because the job is canceled, both are done.
class UploadJournal {
 public:
  virtual ~UploadJournal() = default;
  virtual std::optional<JournalledUpload> find(const UploadKey& key) = 0;
  /// In place of what `key` had.
  virtual void begin(const UploadKey& key, const JournalledUpload& upload) = 0;
  /// Nothing where `key` has another upload by now: an attempt that unwinds late.
  virtual void part(const UploadKey& key,
                    const std::string& upload_id,
                    const JournalledPart& part) = 0;
  /// Likewise.
  virtual void end(const UploadKey& key, const std::string& upload_id) = 0;
  /// Whether a later upload of the same keys may come.
  [[nodiscard]] virtual bool kept() const = 0;
};

}  // namespace pn::storage
