#pragma once

#include "base/awaitable.hpp"
#include "base/result.hpp"
#include "storage/cid.hpp"
#include "storage/domain_calls.hpp"
#include "storage/domain_json.hpp"
#include "storage/download_folder.hpp"
#include "storage/input_budget.hpp"
#include "storage/item_claims.hpp"
#include "storage/listing.hpp"
#include "storage/parts_sink.hpp"
#include "storage/parts_writer.hpp"
#include "storage/ports.hpp"
#include "storage/raw_download.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

namespace pn::storage {

/// What one Download brings, and where to.
struct DownloadOrder {
  DataQuery query;
  std::filesystem::path folder;                   ///< does not exist
  std::optional<std::vector<DataItem>> listed{};  ///< what the query brings, where it is known
  DownloadFolder::Places places{};
  Unlisted unlisted = Unlisted::keep;
};

/// All items of one query into a fresh folder, each under its download_path(): all of them, whole
/// and verified, or no folder. Constant memory. Lives for one run().
///
///   1. The metadata list says what is to come; a server without it is believed.
///   2. What the cache has is taken, what another task is fetching is left to that one first.
///   3. The rest comes in one multipart answer (few requests, where ids do not fit one URL).
///   4. Where that breaks, what is whole stays, and the part under way goes on by a raw read of its
///      range; then 3 again. Parts that no list names cannot be asked for again one by one: with
///      them, where an answer does not show that it had none, and without a list, a break means all
///      anew.
class Download final {
 public:
  /// Both outlive it.
  Download(DomainCalls& calls, InputBudget& budget, DownloadOrder order);

  /// Cancellation removes what there is, then throws.
  Awaitable<Result<std::vector<InputFile>>> run();

 private:
  Awaitable<Result<std::vector<InputFile>>> try_all();
  /// Until all is there, or the first failure.
  Awaitable<Result<void>> advance();
  Awaitable<Result<void>> look();
  Awaitable<Result<void>> fetch(std::vector<std::size_t> wanted);
  Awaitable<Result<void>> stream(DataQuery query, std::vector<std::size_t> asked);
  Awaitable<Result<void>> go_on_by_range();
  Awaitable<void> begin_anew();
  Awaitable<void> clean_up();
  Awaitable<void> remove();
  [[nodiscard]] std::vector<std::size_t> worth_keeping(const std::vector<std::size_t>& came) const;
  void take_in(std::vector<PartsWriter::Part> parts);
  void take_half(PartsWriter::Half half);
  void arrived(std::size_t index, InputFile file);
  [[nodiscard]] bool resumable() const { return listed_ && accounted_ && unlisted_.empty(); }
  [[nodiscard]] std::uint64_t bytes() const;
  [[nodiscard]] std::vector<InputFile> files() const;

  DomainCalls& calls_;
  InputBudget& budget_;
  DownloadOrder order_;
  DownloadFolder folder_;
  Listing listing_;
  ItemClaims items_;
  std::optional<PartsSink> sink_;  ///< of the answer under way
  bool complete_ = false;
  bool looked_ = false;
  bool listed_ = false;     ///< the list is known, and names something
  bool accounted_ = true;   ///< no answer that broke can have held a part that no list names
  bool in_order_ = true;    ///< the parts came in the list's order
  bool no_ranges_ = false;  ///< the server has no raw reads
  bool moved_ = false;      ///< an answer began in this try
  bool from_cache_ = false;
  std::uint64_t reserved_ = 0;       ///< of the budget
  std::vector<InputFile> came_;      ///< listed or not, in the order sent
  std::vector<InputFile> unlisted_;  ///< those that no list named

  struct Half {
    std::size_t index;
    RawDownload raw;
  };
  std::optional<Half> half_;
};

}  // namespace pn::storage
