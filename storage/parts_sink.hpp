#pragma once

#include "base/awaitable.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "http/body.hpp"
#include "http/types.hpp"
#include "storage/download_folder.hpp"
#include "storage/listing.hpp"
#include "storage/parts_writer.hpp"

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

namespace pn::storage {

/// A multipart answer on its way to a PartsWriter, which works on the pool.
class PartsSink final : public http::BodySink {
 public:
  /// All outlive it.
  PartsSink(DownloadFolder& folder,
            const Listing& listing,
            PartsWriter::Limits limits,
            ThreadPool& files)
      : folder_(folder), listing_(listing), limits_(limits), files_(files) {}

  Result<void> begin(int status, const http::Headers& headers) override;
  Awaitable<Result<void>> write(std::string_view bytes) override;
  /// The transfer is over, whole or not: see PartsWriter::finish(). An answer that never began is
  /// `corrupt` too.
  Awaitable<Result<void>> end();

  // After end().
  [[nodiscard]] std::vector<PartsWriter::Part> take_parts();
  [[nodiscard]] std::optional<PartsWriter::Half> take_half();

 private:
  DownloadFolder& folder_;
  const Listing& listing_;
  const PartsWriter::Limits limits_;
  ThreadPool& files_;
  std::unique_ptr<PartsWriter> writer_;
};

}  // namespace pn::storage
