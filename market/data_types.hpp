#pragma once

#include "base/ids.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "market/blob_store.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pn::market {

using UploadId = StrongId<struct UploadIdTag>;

/// A data record of a domain. (name, data_type) is unique in its domain.
struct DataItem {
  std::int64_t seq = 0;  ///< order of creation; the database gives it
  DataId id;
  DomainId domain;
  std::string name;
  std::string data_type;
  StoredBlob blob;
  SystemTime created{};
  SystemTime updated{};
};

/// A multipart upload that was begun, complete when `item` is set.
struct Upload {
  UploadId id;
  DomainId domain;
  std::string name;
  std::string data_type;
  DataId existing;                    ///< the record it replaces; empty: creates one
  std::optional<std::uint64_t> size;  ///< as declared
  std::uint64_t part_size = 0;
  BlobId blob;
  DataId item;
  SystemTime created{};
  SystemTime expires{};
};

struct UploadPart {
  int number = 0;
  std::uint64_t size = 0;
  std::string etag;
};

/// What a listing asks for. Empty fields ask for nothing.
struct DataFilter {
  std::vector<std::string> ids;
  std::string name;
  std::string data_type;
};

inline constexpr int kMaxParts = 10'000;
inline constexpr std::uint64_t kRequestMaxBytes = 104'857'600;

/// 1 to 128 bytes of UTF-8 without "/" and control characters. Kind `rejected`, code "data_name"
/// or "data_type".
Result<void> check_data_name(std::string_view name, std::string_view data_type);

/// The content's `sha-256=:...:`, as Content-Digest (RFC 9530) and a record's `digest` have it.
std::string digest_field(const StoredBlob& blob);

/// 8 MiB, or as many whole MiB as let `size` bytes fit 10,000 parts.
std::uint64_t part_size_for(std::optional<std::uint64_t> size);

/// All seven fields of a metadata record, none ever null (peers decode them strictly), and its
/// `digest`.
Json metadata_json(const DataItem& item);

struct NewUpload {
  std::string name;
  std::string data_type;
  std::optional<std::uint64_t> size;
  DataId existing;
};
Result<NewUpload> parse_new_upload(const Json& body);
/// Kind `rejected`, code "parts_order": not 1, 2, 3 ... Sizes are 0.
Result<std::vector<UploadPart>> parse_parts(const Json& body);

/// Whether the parts that a client lists are the ones that came, each of the part size but the
/// last. Kind `rejected`, code "part_missing", "part_etag", "part_size" or "upload_size". Answers
/// the whole's size.
Result<std::uint64_t> check_parts(const Upload& upload,
                                  const std::vector<UploadPart>& listed,
                                  const std::vector<UploadPart>& stored);

}  // namespace pn::market
