#pragma once

#include "base/awaitable.hpp"
#include "base/result.hpp"
#include "storage/ports.hpp"

#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace pn::testing {

/// A stream of a fake port: kept in memory, and put when it is finished.
class PutStream final : public storage::ArtifactStream {
 public:
  static Result<std::unique_ptr<storage::ArtifactStream>> open(storage::ArtifactPort& port,
                                                               std::string rel_path,
                                                               storage::PutOptions options) {
    std::unique_ptr<storage::ArtifactStream> out =
        std::make_unique<PutStream>(port, std::move(rel_path), std::move(options));
    return out;
  }
  PutStream(storage::ArtifactPort& port, std::string rel_path, storage::PutOptions options)
      : port_(port), rel_path_(std::move(rel_path)), options_(std::move(options)) {}

  Awaitable<Result<void>> write(std::string_view bytes) override {
    bytes_ += bytes;
    co_return Result<void>();
  }
  Awaitable<Result<storage::Artifact>> finish() override {
    return port_.put_bytes(rel_path_, std::move(bytes_), options_);
  }

 private:
  storage::ArtifactPort& port_;
  const std::string rel_path_;
  const storage::PutOptions options_;
  std::string bytes_;
};

}  // namespace pn::testing
