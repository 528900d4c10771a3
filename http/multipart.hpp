#pragma once

#include "base/result.hpp"
#include "http/types.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pn::http {

/// What a part says of itself. Parameter names are lower case, quotes and backslash escapes are
/// resolved.
struct PartHeader {
  std::map<std::string, std::string, std::less<>> disposition;  ///< name, data-type, id, size, ...
  std::string content_type;
  std::string content_digest;  ///< the field's value (RFC 9530); empty when absent

  [[nodiscard]] std::string get(std::string_view key) const;
  /// The `size` parameter; nothing when absent, an Error when it is no number.
  [[nodiscard]] Result<std::optional<std::uint64_t>> size() const;
};

/// multipart/form-data (RFC 7578) without I/O: bytes go in, in pieces of any length, events come
/// out. Line ends may be bare "\n". Never holds more than one header block (16 KiB) and one
/// delimiter's length; reads over at most 64 KiB before the first part and after the last.
///
/// With Delimit::by_size each part must carry `size` (wire.md), its payload is
/// passed through without being searched, and what follows must be a delimiter. With
/// Delimit::by_boundary (requests of clients) the payload ends at the next delimiter.
class MultipartReader {
 public:
  enum class Delimit { by_size, by_boundary };
  enum class What { need_input, part, data, part_end, end };
  struct Event {
    What what = What::need_input;
    std::string_view data;  ///< for `data`: a piece of the last feed() (or of the carry-over),
                            ///< valid until the next call
  };

  MultipartReader(const std::string& boundary, Delimit delimit);
  ~MultipartReader();
  MultipartReader(MultipartReader&&) noexcept;
  MultipartReader& operator=(MultipartReader&&) noexcept;

  /// The boundary of a Content-Type; kind `corrupt` when it is no multipart or has none.
  static Result<std::string> boundary_of(std::string_view content_type);

  /// Gives the next piece; only after next() answered need_input. Borrowed until then.
  void feed(std::string_view bytes);
  /// The next event; kind `corrupt`, code "multipart_*", when the body contradicts itself.
  Result<Event> next();
  /// Call at the end of the input: an Error unless `end` was reached.
  [[nodiscard]] Result<void> finish() const;
  /// How many bytes of the body lie before the payload that the last `part` event began.
  [[nodiscard]] std::uint64_t payload_offset() const;
  /// The part that the last `part` event began.
  [[nodiscard]] const PartHeader& part() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// "--B\r\nContent-Type: ...\r\nContent-Disposition: form-data; a=\"b\"...\r\n\r\n": values are
/// quoted and escaped. With a line "Content-Digest: ..." unless `content_digest` is empty.
std::string part_head(std::string_view boundary,
                      std::string_view content_type,
                      const std::vector<std::pair<std::string, std::string>>& disposition,
                      std::string_view content_digest = {});
/// "\r\n--B--\r\n" is written as "\r\n" after each payload and this at the end.
std::string closing_delimiter(std::string_view boundary);

}  // namespace pn::http
