#pragma once

#include "http/body.hpp"
#include "market/data_types.hpp"
#include "market/database.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pn::market {

/// The records that a listing goes through, a page at a time: a domain is never held as a whole.
class ItemPages final {
 public:
  /// With `filter.ids` one page of those, else by the order of creation. The database outlives it.
  ItemPages(Database& database, DomainId domain, DataFilter filter);

  /// The next page; empty at the end.
  Awaitable<Result<std::vector<DataItem>>> next();
  /// The record as it is now; nothing when it is gone.
  Awaitable<Result<std::optional<DataItem>>> again(DataId id);
  /// Whether no page follows.
  [[nodiscard]] bool ended() const { return ended_; }

 private:
  Database* database_;
  DomainId domain_;
  DataFilter filter_;
  std::int64_t after_ = 0;
  bool ended_ = false;
};

/// {"data":[metadata...]} of `first` and the pages after it.
std::unique_ptr<http::BodySource> json_listing(std::vector<DataItem> first, ItemPages rest);

/// One part an item (wire.md). Large files are left to the kernel (take_file).
/// Borrows the store.
std::unique_ptr<http::BodySource> multipart_listing(BlobStore& blobs,
                                                    std::vector<DataItem> first,
                                                    ItemPages rest,
                                                    std::string boundary);

}  // namespace pn::market
