#include "storage/parts_writer.hpp"

#include "base/ids.hpp"
#include "base/result.hpp"
#include "http/multipart.hpp"
#include "storage/download_folder.hpp"
#include "storage/incoming_file.hpp"
#include "storage/input_budget.hpp"
#include "storage/listing.hpp"
#include "storage/raw_answer.hpp"

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace pn::storage {

using http::MultipartReader;

PartsWriter::PartsWriter(DownloadFolder& folder,
                         const Listing& listing,
                         Limits limits,
                         const std::string& boundary)
    : folder_(folder),
      listing_(listing),
      limits_(limits),
      reader_(boundary, MultipartReader::Delimit::by_size) {}

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

  const auto found = listing_.find(current_.file.id);
  if (found && !listing_.at(*found).file && seen_.insert(*found).second) {
    const Listing::Entry& entry = listing_.at(*found);
    if (entry.item.size != current_.file.size) {
      return Error(ErrorKind::restart,
                   "item_changed",
                   "data " + entry.item.id.str() + " has another size than the list says");
    }
    current_.listed = found;
    current_.file.path = entry.path;
  } else {
    if (limits_.unlisted == Unlisted::refuse) {
      return Error(ErrorKind::restart, "parts_unlisted", "a part came that the list does not name");
    }
    const std::uint64_t left = limits_.most_bytes - unlisted_bytes_;
    if (current_.file.size > left) return InputBudget::task_disk_full(current_.file.size, left);
    unlisted_bytes_ += current_.file.size;
    current_.file.path =
        folder_.place(current_.file.id, current_.file.name, current_.file.data_type);
  }
  Result<IncomingFile> file = folder_.create();
  if (!file.ok()) return std::move(file).error();
  file_.emplace(*std::move(file));
  if (auto digest = sha256_of_digest_field(header.content_digest)) file_->promise(*digest);
  return {};
}

Result<void> PartsWriter::end_part() {
  IncomingFile file = *std::move(file_);
  file_.reset();
  const std::atomic<bool> stop{false};
  const Result<void> right = file.verify(stop);
  if (!right.ok()) {
    if (right.error().kind != ErrorKind::retry) return right;
    dropped_ = within("data " + current_.file.id.str(), right.error());  // the others may be good
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
