#pragma once

#include "base/ids.hpp"
#include "base/result.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pn::storage {

/// A metadata record of a domain server.
struct DataItem {
  DataId id;
  std::string name;
  std::string data_type;
  std::uint64_t size = 0;
  std::string created_at{};  ///< as sent; empty when absent
  std::string updated_at{};
  std::string sha256{};  ///< of the content, in hex; empty where the server does not tell

  friend bool operator==(const DataItem&, const DataItem&) = default;
};

/// What `GET /api/v1/info` says of uploads. The defaults are those of a server without it.
struct UploadLimits {
  std::optional<std::uint64_t> request_max_bytes{};  ///< nothing: none is named
  bool multipart = false;

  friend bool operator==(const UploadLimits&, const UploadLimits&) = default;
};

struct MultipartUpload {
  std::string upload_id;
  std::uint64_t part_size = 0;
};

struct UploadedPart {
  std::uint32_t number = 0;
  std::string etag;
};

// Answers; kind `retry`, code "json_*", when they do not hold what they must.
Result<DataItem> parse_item(std::string_view body);
/// Whether a server answered what it was asked for, but nothing that can be read.
bool is_unreadable(const Error& error);
/// {"data":[...]}
Result<std::vector<DataItem>> parse_items(std::string_view body);
Result<UploadLimits> parse_limits(std::string_view body);
Result<MultipartUpload> parse_initiated(std::string_view body);
Result<std::string> parse_etag(std::string_view body);

// Requests.
std::string initiate_body(std::string_view name,
                          std::string_view data_type,
                          std::optional<std::uint64_t> size,  // nothing: not known yet
                          const std::optional<DataId>& existing);
std::string complete_body(const std::vector<UploadedPart>& parts);

}  // namespace pn::storage
