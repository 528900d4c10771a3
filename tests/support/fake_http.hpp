#pragma once

#include "http/client.hpp"

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace pn::testing {

/// An HttpClient that answers from a function and keeps what it was sent. Only for what stands
/// above the client: the client itself is tested over real sockets.
class FakeHttp final : public http::HttpClient {
 public:
  using Answer = std::function<Result<http::Response>(const http::Request&)>;

  explicit FakeHttp(Answer answer) : answer_(std::move(answer)) {}

  Awaitable<Result<http::Response>> send(http::Request request) override {
    requests.push_back(request);
    co_return answer_(request);
  }

  std::vector<http::Request> requests;

 private:
  Answer answer_;
};

inline http::Response json_answer(int status, std::string body) {
  http::Response response;
  response.status = status;
  response.headers.set("content-type", "application/json");
  response.body = std::move(body);
  return response;
}

}  // namespace pn::testing
