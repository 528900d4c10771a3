#pragma once

#include "base/result.hpp"
#include "http/multipart.hpp"
#include "storage/download_folder.hpp"
#include "storage/incoming_file.hpp"
#include "storage/listing.hpp"
#include "storage/ports.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pn::storage {

/// What becomes of parts that no list named.
enum class Unlisted { keep, refuse };

/// Writes a multipart answer of a domain server to disk as it comes: each part to its place in the
/// download's folder, checked against its size, what the list says of it, and its digest where it
/// carries one. Every call blocks.
class PartsWriter final {
 public:
  struct Limits {
    Unlisted unlisted = Unlisted::keep;
    std::uint64_t most_bytes = 0;  ///< of all parts that the list does not name
  };
  /// One part's file, and whether it is the list's: entry `listed`.
  struct Part {
    InputFile file;
    std::optional<std::size_t> listed{};
  };
  struct Half {
    Part part;
    IncomingFile bytes;
  };

  /// Both outlive it, and the listing does not change meanwhile.
  PartsWriter(DownloadFolder& folder,
              const Listing& listing,
              Limits limits,
              const std::string& boundary);

  /// Kind `corrupt` when the body contradicts itself; `restart`, code "item_changed", when a part
  /// is not of the size that the list says, "parts_unlisted" for a part to be refused; `full`, code
  /// "task_disk_full".
  Result<void> consume(std::string_view bytes);
  /// The body is over, if not at its end: names what is whole. Kind `corrupt`, code
  /// "multipart_truncated", when it ended early; `retry`, code "digest_mismatch", when a part was
  /// dropped for that; `not_found` when there was no part.
  Result<void> finish();

  // After finish().
  [[nodiscard]] std::vector<Part> take_parts() { return std::move(parts_); }
  /// The part that was under way.
  [[nodiscard]] std::optional<Half> take_half();

 private:
  Result<void> begin_part();
  Result<void> end_part();

  DownloadFolder& folder_;
  const Listing& listing_;
  const Limits limits_;
  http::MultipartReader reader_;
  Part current_;
  std::optional<IncomingFile> file_;  ///< of current_
  std::vector<Part> parts_;           ///< whole
  std::set<std::size_t> seen_;        ///< of the listing
  std::uint64_t unlisted_bytes_ = 0;
  std::optional<Error> dropped_;  ///< why a part is not among parts_
};

}  // namespace pn::storage
