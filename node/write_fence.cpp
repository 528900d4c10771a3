#include "node/write_fence.hpp"

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"
#include "http/body.hpp"
#include "http/client.hpp"
#include "http/types.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

namespace pn::node {
namespace {

Error past_it() {
  return {ErrorKind::restart,
          "lease_lost",
          "the lease was not renewed in time: another node may have the task by now"};
}

class FencedSource final : public http::BodySource {
 public:
  FencedSource(http::BodySource& source, const Clock& clock, const WriteFence& fence)
      : source_(source), clock_(clock), fence_(fence) {}

  [[nodiscard]] std::optional<std::uint64_t> size() const override { return source_.size(); }
  Awaitable<Result<std::size_t>> read(std::span<char> buffer) override {
    if (fence_.passed(clock_)) co_return past_it();
    Result<std::size_t> bytes = co_await source_.read(buffer);
    // The disk may have taken long.
    if (fence_.passed(clock_)) co_return past_it();
    co_return bytes;
  }
  bool rewind() override { return source_.rewind(); }

 private:
  http::BodySource& source_;
  const Clock& clock_;
  const WriteFence& fence_;
};

}  // namespace

Awaitable<Result<http::Response>> FencedHttp::send(http::Request request) {
  const bool takes_back = request.method == http::Method::del && fence_.canceled();
  if (fence_.passed(clock_) && !takes_back) co_return past_it();
  std::optional<FencedSource> fenced;
  if (request.source != nullptr) {
    fenced.emplace(*request.source, clock_, fence_);
    request.source = &*fenced;
  }
  Result<http::Response> answer = co_await http_.send(std::move(request));
  co_return answer;
}

}  // namespace pn::node
