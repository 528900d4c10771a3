#pragma once

#include "market/data_service.hpp"

#include <utility>
#include <vector>

namespace pn::market {

/// Blobs that came in and that no record has taken yet: dropped by the destructor, whatever the way
/// out (an error, a client that left, cancellation).
class DataService::Loose {
 public:
  explicit Loose(BlobStore& blobs) : blobs_(blobs) {}
  ~Loose() {
    for (const BlobId& id : ids_) blobs_.discard(id);
  }
  Loose(const Loose&) = delete;
  Loose& operator=(const Loose&) = delete;

  void add(BlobId id) { ids_.push_back(std::move(id)); }
  void taken() { ids_.clear(); }

 private:
  BlobStore& blobs_;
  std::vector<BlobId> ids_;
};

}  // namespace pn::market
