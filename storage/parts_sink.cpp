#include "storage/parts_sink.hpp"

#include "base/awaitable.hpp"
#include "base/encoding.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "http/multipart.hpp"
#include "http/types.hpp"
#include "storage/parts_writer.hpp"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pn::storage {

Result<void> PartsSink::begin(int /*status*/, const http::Headers& headers) {
  const std::string type(headers.find("content-type").value_or(""));
  Result<std::string> boundary = http::MultipartReader::boundary_of(type);
  if (!boundary.ok()) return std::move(boundary).error();
  PartsWriter::Framing framing;
  framing.boundary = *std::move(boundary);
  framing.length = from_decimal(headers.find("content-length").value_or(""));
  framing.parts = from_decimal(headers.find("posemesh-part-count").value_or(""));
  writer_ = std::make_unique<PartsWriter>(folder_, listing_, budget_, order_, framing);
  return {};
}

Awaitable<Result<void>> PartsSink::write(std::string_view bytes) {
  const auto work = [this, bytes] { return writer_->consume(bytes); };
  Result<void> done = co_await offload(files_, work);
  co_return done;
}

Awaitable<Result<void>> PartsSink::end() {
  if (!writer_) {
    co_return Error(ErrorKind::corrupt, "multipart_truncated", "the answer did not begin");
  }
  const auto work = [this] { return writer_->finish(); };
  Result<void> done = co_await offload(files_, work);
  co_return done;
}

std::vector<PartsWriter::Part> PartsSink::take_parts() {
  return writer_ ? writer_->take_parts() : std::vector<PartsWriter::Part>();
}

std::optional<PartsWriter::Half> PartsSink::take_half() {
  return writer_ ? writer_->take_half() : std::nullopt;
}

}  // namespace pn::storage
