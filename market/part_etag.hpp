#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace pn::market {

/// What the etag of an upload's part says: the same bytes give the same one, so that a part that
/// comes twice (its answer was lost, a proxy was late) does no harm. Several times faster than a
/// SHA-256, which is taken of the whole. Nothing that keeps a liar out: whoever sends a part may
/// send what he likes in it.
class PartEtag final {
 public:
  PartEtag();
  ~PartEtag();
  PartEtag(const PartEtag&) = delete;
  PartEtag& operator=(const PartEtag&) = delete;

  void update(std::string_view bytes);
  /// Once; 32 hex digits.
  std::string finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pn::market
