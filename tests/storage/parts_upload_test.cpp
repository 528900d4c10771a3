#include "storage/parts_upload.hpp"

#include "base/awaitable.hpp"
#include "base/secret.hpp"
#include "http/server.hpp"
#include "http/types.hpp"
#include "http/url.hpp"
#include "storage/shared_renewal.hpp"
#include "storage/token_source.hpp"
#include "tests/storage/upload_fixture.hpp"
#include "tests/support/fault_proxy.hpp"

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

namespace pn::storage {
namespace {

using namespace std::chrono_literals;
using testing::pattern;
using testing::Started;
using testing::TestLoop;
using testing::UploadFixture;

struct Fixture : UploadFixture {
  Fixture() { settings.journal = nullptr; }
};

}  // namespace

TEST_CASE("upload: parts go out in parallel, as many as is said", "[storage][upload][mt]") {
  Fixture f;
  const int parallel = GENERATE(1, 3, 8);
  f.settings.parallel = static_cast<std::size_t>(parallel);
  f.server.parts_together = parallel;  // with fewer it would never end
  REQUIRE(f.upload(pattern(12'345)).ok());
  CHECK(f.stored() == pattern(12'345));
  CHECK(f.server.most_parts_at_once == parallel);
  CHECK(f.parts_sent() == 13);
}

TEST_CASE("upload: the first part that is refused ends the others", "[storage][upload][mt]") {
  Fixture f;
  f.server.parts_together = 100;  // the others are under way until they are ended
  f.server.fault = [&](const http::ServerRequest& request) -> std::optional<http::ServerResponse> {
    if (!UploadFixture::is_part(request, "3")) return std::nullopt;
    return http::error_response(403, "x", "not this one");
  };
  const auto item = f.upload(pattern(12'345));
  f.server.parts_together = 1;
  REQUIRE_FALSE(item.ok());
  CHECK(item.error().code == "http_403");
  CHECK_THAT(item.error().detail, Catch::StartsWith("upload of n: part 3: "));
  CHECK(f.aborts() == 1);
  CHECK(f.parts_sent() <= 4);
  CHECK(f.server.items.empty());
}

TEST_CASE("upload: a token that runs out in the middle is renewed once for all",
          "[storage][upload][mt]") {
  Fixture f;
  f.server.parts_together = 4;
  bool once = false;
  f.server.served = [&](const http::ServerRequest& request) {
    if (UploadFixture::is_part(request, "4") && !std::exchange(once, true)) f.server.token = "t2";
  };
  const auto world = f.life({"t1", "t2"});
  REQUIRE(world->run(world->client->upload(f.order(pattern(12'345)))).ok());
  CHECK(f.stored() == pattern(12'345));
  CHECK(f.aborts() == 0);
}

TEST_CASE("upload: a part whose connection stalls is broken off and sent again",
          "[storage][upload]") {
  Fixture f;
  f.settings.low_speed_time = 1s;
  bool hung = false;
  pn::testing::FaultProxy proxy(
      f.loop.context, f.server.url().port(), [&](std::string_view, std::string_view path) {
        const bool second = path.find("partNumber=2") != std::string_view::npos;
        return second && !std::exchange(hung, true) ? pn::testing::Fault::hang
                                                    : pn::testing::Fault::none;
      });
  const auto url = http::Url::parse(proxy.url());
  pn::testing::DomainWorld world(f.loop, *url, {"t1"}, f.settings);
  const auto began = std::chrono::steady_clock::now();
  REQUIRE(world.run(world.client->upload(f.order(pattern(4000)))).ok());
  CHECK(std::chrono::steady_clock::now() - began < 4s);
  CHECK(hung);
  CHECK(f.stored() == pattern(4000));
}

namespace {

/// Renewed after a second.
class SlowTokens final : public TokenSource {
 public:
  explicit SlowTokens(Clock& clock) : clock_(clock) {}
  [[nodiscard]] Secret<std::string> current() override { return Secret<std::string>(token); }
  Awaitable<bool> wait_newer(const Secret<std::string>&) override {
    ++asked;
    co_await clock_.sleep_for(1s);
    if (!refused) token = "t2";
    co_return !refused;
  }
  std::string token = "t1";
  bool refused = false;
  int asked = 0;

 private:
  Clock& clock_;
};

struct Renewals {
  TestLoop loop;
  SlowTokens* tokens = nullptr;
  std::unique_ptr<SharedRenewal> shared;
  std::vector<bool> answers;
  std::vector<std::unique_ptr<Started>> waiting;

  Renewals() {
    auto slow = std::make_unique<SlowTokens>(loop.clock);
    tokens = slow.get();
    shared = std::make_unique<SharedRenewal>(std::move(slow));
    for (int i = 0; i < 3; ++i) waiting.push_back(std::make_unique<Started>(loop, wait()));
    loop.poll();
  }
  Awaitable<void> wait() {
    const Secret<std::string> used("t1");
    const bool newer = co_await shared->wait_newer(used);
    answers.push_back(newer);
  }
};

}  // namespace

TEST_CASE("shared renewal: who asks meanwhile gets the same answer", "[storage][upload]") {
  Renewals r;
  r.tokens->refused = GENERATE(false, true);
  CHECK(r.answers.empty());
  r.loop.advance(1s);
  CHECK(r.answers == std::vector<bool>(3, !r.tokens->refused));
  CHECK(r.tokens->asked == 1);
}

TEST_CASE("shared renewal: another goes on where the one who renews is cancelled",
          "[storage][upload]") {
  Renewals r;
  r.loop.advance(500ms);
  r.waiting[0]->cancel();
  r.loop.advance(1s);
  CHECK(r.answers == std::vector<bool>(2, true));
  CHECK(r.tokens->asked == 2);
}

}  // namespace pn::storage
