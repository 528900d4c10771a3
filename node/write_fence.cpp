#include "node/write_fence.hpp"

#include "base/awaitable.hpp"
#include "base/result.hpp"
#include "http/client.hpp"
#include "http/types.hpp"

#include <utility>

namespace pn::node {

Result<void> FencedHttp::may_send(http::Method method) const {
  const bool takes_back = method == http::Method::del && fence_.canceled();
  if (!fence_.passed(clock_) || takes_back) return {};
  return Error(ErrorKind::restart,
               "lease_lost",
               "the lease was not renewed in time: another node may have the task by now");
}

Awaitable<Result<http::Response>> FencedHttp::send(http::Request request) {
  request.may_send = [this, method = request.method] { return may_send(method); };
  const Result<void> now = request.may_send();
  if (!now) co_return now.error();
  Result<http::Response> answer = co_await http_.send(std::move(request));
  co_return answer;
}

}  // namespace pn::node
