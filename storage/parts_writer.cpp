#include "storage/parts_writer.hpp"

#include "base/encoding.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "http/multipart.hpp"
#include "storage/download_folder.hpp"
#include "storage/incoming_file.hpp"
#include "storage/input_budget.hpp"
#include "storage/listing.hpp"
#include "storage/raw_answer.hpp"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace pn::storage {

using http::MultipartReader;

namespace {

/// Nothing for no digest.
std::optional<std::string> bytes_of(std::string_view hex) {
  const auto bytes = from_hex(hex);
  if (!bytes || bytes->empty()) return std::nullopt;
  return std::string(bytes->begin(), bytes->end());
}

}  // namespace

PartsWriter::PartsWriter(DownloadFolder& folder,
                         const Listing& listing,
                         InputBudget& budget,
                         Order order,
                         const Framing& framing)
    : folder_(folder),
      listing_(listing),
      budget_(budget),
      order_(std::move(order)),
      framing_(framing),
      reader_(framing.boundary, MultipartReader::Delimit::by_size) {}

Result<void> PartsWriter::consume(std::string_view bytes) {
  reader_.feed(bytes);
  for (;;) {
    const Result<MultipartReader::Event> event = reader_.next();
    if (!event.ok()) return event.error();
    Result<void> done;
    switch (event->what) {
      case MultipartReader::What::need_input:
      case MultipartReader::What::end:
        return {};
      case MultipartReader::What::part:
        done = begin_part();
        break;
      case MultipartReader::What::data:
        done = file_->write(event->data);
        break;
      case MultipartReader::What::part_end:
        done = end_part();
        break;
    }
    if (!done.ok()) return done;
  }
}

Result<void> PartsWriter::begin_part() {
  const http::PartHeader& header = reader_.part();
  const Result<std::optional<std::uint64_t>> size = header.size();
  if (!size.ok()) return size.error();
  current_ = Part();
  current_.file.id = DataId(header.get("id"));
  current_.file.name = header.get("name");
  current_.file.data_type = header.get("data-type");
  current_.file.size = size->value_or(0);

  std::optional<std::string> digest = sha256_of_digest_field(header.content_digest);
  const auto found = listing_.find(current_.file.id);
  if (!std::exchange(begun_, true)) only_asked_ = found && holds_only_asked();
  if (found && !listing_.at(*found).file && seen_.insert(*found).second) {
    const Listing::Entry& entry = listing_.at(*found);
    if (entry.item.size != current_.file.size) {
      return Error(ErrorKind::restart,
                   "item_changed",
                   "data " + entry.item.id.str() + " has another size than the list says");
    }
    std::optional<std::string> listed = bytes_of(entry.item.sha256);
    if (listed && digest && *listed != *digest) {
      return Error(ErrorKind::restart,
                   "item_changed",
                   "data " + entry.item.id.str() + " has another digest than the list says");
    }
    if (listed) digest = std::move(listed);
    current_.listed = found;
    current_.file.path = entry.path;
  } else {
    if (order_.unlisted == Unlisted::refuse) {
      return Error(ErrorKind::restart, "parts_unlisted", "a part came that the list does not name");
    }
    const Result<void> fits = budget_.reserve(current_.file.size);
    if (!fits.ok()) return fits;
    reserved_ += current_.file.size;
    current_.file.path =
        folder_.place(current_.file.id, current_.file.name, current_.file.data_type);
  }
  Result<IncomingFile> file = folder_.create();
  if (!file.ok()) return std::move(file).error();
  file_.emplace(*std::move(file));
  if (digest) file_->promise(*std::move(digest));
  return {};
}

/// Where the server does not count its parts, the length of an answer with one tells whether there
/// is room for another.
bool PartsWriter::holds_only_asked() const {
  if (framing_.parts) return *framing_.parts == order_.asked.size();
  if (order_.asked.size() != 1 || !framing_.length) return false;
  const std::uint64_t around = framing_.boundary.size() + 8;  // "\r\n--B--\r\n"
  const std::uint64_t left =
      *framing_.length - std::min(*framing_.length, reader_.payload_offset());
  return left <=
         current_.file.size +
             std::min(around, std::numeric_limits<std::uint64_t>::max() - current_.file.size);
}

bool PartsWriter::accounted() const {
  return !lost_unlisted_ && (!begun_ || only_asked_ || reader_.finish().ok());
}

Result<void> PartsWriter::end_part() {
  IncomingFile file = *std::move(file_);
  file_.reset();
  const std::atomic<bool> stop{false};
  const Result<void> right = file.verify(stop);
  if (!right.ok()) {
    if (right.error().kind != ErrorKind::retry) return right;
    dropped_ = within("data " + current_.file.id.str(), right.error());  // the others may be good
    lost_unlisted_ = lost_unlisted_ || !current_.listed;
    return {};
  }
  Result<void> landed = folder_.land(std::move(file), current_.file.path);
  if (!landed.ok()) return landed;
  parts_.push_back(std::move(current_));
  return {};
}

Result<void> PartsWriter::finish() {
  const Result<void> settled = folder_.settle();
  if (!settled.ok()) return settled;
  Result<void> ended = reader_.finish();
  if (!ended.ok()) return ended;
  if (dropped_) return *dropped_;
  if (parts_.empty()) {
    return Error(ErrorKind::not_found, "data_missing", "the domain server sent no data item");
  }
  return {};
}

std::optional<PartsWriter::Half> PartsWriter::take_half() {
  if (!file_) return std::nullopt;
  Half out{.part = std::move(current_), .bytes = *std::move(file_)};
  file_.reset();
  return out;
}

}  // namespace pn::storage
