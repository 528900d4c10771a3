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
};

/// An upload that a server holds parts of.
struct JournalledUpload {
  std::string upload_id;
  std::uint64_t part_size = 0;
  std::uint64_t size = 0;               ///< as declared to the server
  std::optional<DataId> existing{};     ///< the record that it replaces
  SystemTime begun{};                   ///< servers forget uploads; so may we
  std::vector<JournalledPart> parts{};  ///< what the server acknowledged, by number
};

/// Which parts of which uploads a server has, so that a node that died sends only what is missing.
/// The seam between an upload and STATE_DIR; a client command has none. What it holds is a hint: an
/// upload that the server forgot, or content that changed, costs the parts again and nothing else;
/// so a journal that fails is logged by its owner and otherwise forgets. All calls block.
class UploadJournal {
 public:
  virtual ~UploadJournal() = default;
  virtual std::optional<JournalledUpload> find(const UploadKey& key) = 0;
  /// In place of what `key` had.
  virtual void begin(const UploadKey& key, const JournalledUpload& upload) = 0;
  virtual void part(const UploadKey& key, const JournalledPart& part) = 0;
  virtual void end(const UploadKey& key) = 0;
};

}  // namespace pn::storage
