#pragma once

#include "market/data_service.hpp"

#include <set>
#include <utility>
#include <vector>

namespace pn::market {

/// Blobs that came in and that no record has taken yet: dropped by the destructor, whatever the way
/// out (an error, a client that left, cancellation). Until then they are in `under_way`: a form may
/// come more slowly than the clean-up looks for bytes without a record.
class DataService::Loose {
 public:
  Loose(BlobStore& blobs, std::set<BlobId>& under_way) : blobs_(blobs), under_way_(under_way) {}
  ~Loose() {
    for (const BlobId& id : ids_) blobs_.discard(id);
    taken();
  }
  Loose(const Loose&) = delete;
  Loose& operator=(const Loose&) = delete;

  void add(BlobId id) {
    under_way_.insert(id);
    ids_.push_back(std::move(id));
  }
  void taken() {
    for (const BlobId& id : ids_) under_way_.erase(id);
    ids_.clear();
  }

 private:
  BlobStore& blobs_;
  std::set<BlobId>& under_way_;
  std::vector<BlobId> ids_;
};

}  // namespace pn::market
