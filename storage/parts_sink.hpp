#pragma once

#include "base/awaitable.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "http/body.hpp"
#include "http/types.hpp"
#include "storage/download_folder.hpp"
#include "storage/input_budget.hpp"
#include "storage/listing.hpp"
#include "storage/parts_writer.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace pn::storage {

/// A multipart answer on its way to a PartsWriter, which works on the pool.
class PartsSink final : public http::BodySink {
 public:
  /// All outlive it.
  PartsSink(DownloadFolder& folder,
            const Listing& listing,
            InputBudget& budget,
            PartsWriter::Order order,
            ThreadPool& files)
      : folder_(folder),
        listing_(listing),
        budget_(budget),
        order_(std::move(order)),
        files_(files) {}

  Result<void> begin(int status, const http::Headers& headers) override;
  Awaitable<Result<void>> write(std::string_view bytes) override;
  /// The transfer is over, whole or not: see PartsWriter::finish(). An answer that never began is
  /// `corrupt` too.
  Awaitable<Result<void>> end();

  // After end().
  [[nodiscard]] std::vector<PartsWriter::Part> take_parts();
  [[nodiscard]] std::optional<PartsWriter::Half> take_half();
  [[nodiscard]] std::uint64_t take_reserved() { return writer_ ? writer_->take_reserved() : 0; }
  /// The answer has.
  [[nodiscard]] bool begun() const { return writer_ != nullptr; }
  [[nodiscard]] bool accounted() const { return !writer_ || writer_->accounted(); }

 private:
  DownloadFolder& folder_;
  const Listing& listing_;
  InputBudget& budget_;
  const PartsWriter::Order order_;
  ThreadPool& files_;
  std::unique_ptr<PartsWriter> writer_;
};

}  // namespace pn::storage
