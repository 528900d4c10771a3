#include "storage/parts_upload.hpp"

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/ids.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"
#include "http/client.hpp"
#include "http/server.hpp"
#include "http/types.hpp"
#include "http/url.hpp"
#include "storage/domain_calls.hpp"
#include "storage/domain_client.hpp"
#include "storage/domain_json.hpp"
#include "storage/shared_renewal.hpp"
#include "storage/token_source.hpp"
#include "tests/storage/domain_world.hpp"
#include "tests/storage/upload_fixture.hpp"
#include "tests/support/fake_http.hpp"
#include "tests/support/fake_rng.hpp"
#include "tests/support/fault_proxy.hpp"

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
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

TEST_CASE("upload: a server that names no limit has the protocol's", "[storage][upload]") {
  Fixture f;
  const bool large = GENERATE(false, true);
  f.server.fault = [&](const http::ServerRequest& request) -> std::optional<http::ServerResponse> {
    if (request.path == "/api/v1/info") {
      return http::ServerResponse::json(200, R"({"upload":{"multipart":{"enabled":true}}})");
    }
    if (request.method != http::Method::post) return std::nullopt;
    return http::error_response(403, "enough", "which way it takes is all we want to know");
  };
  UploadOrder order = f.order("");
  std::filesystem::resize_file(order.file, large ? 104'857'600 : 5000);  // the envelope counts
  const auto world = f.life();
  const auto item = world->run(world->client->upload(std::move(order)));
  CHECK(item.error().code == "http_403");
  CHECK(f.server.count("POST /data/multipart") == (large ? 1 : 0));
  CHECK(f.server.count("POST /data") == (large ? 0 : 1));
}

TEST_CASE("upload: what turns out to be too large for one request goes in parts",
          "[storage][upload]") {
  Fixture f;
  f.server.request_max = 1 << 20;
  f.server.served = [&](const http::ServerRequest& request) {
    if (request.path == "/api/v1/info") f.server.request_max = 100;
  };
  SECTION("where the server takes parts") {
    REQUIRE(f.upload(pattern(2500)).ok());
    CHECK(f.stored() == pattern(2500));
    CHECK(f.server.count("POST /data") == 1);
    CHECK(f.parts_sent() == 3);
  }
  SECTION("but not where it says that it takes none") {
    f.server.has_multipart = false;
    CHECK(f.upload(pattern(2500)).error().code == "http_413");
    CHECK(f.server.count("POST /data") == 1);
  }
  SECTION("nor where it refuses them") {
    f.server.fault =
        [&](const http::ServerRequest& request) -> std::optional<http::ServerResponse> {
      if (!request.has_query("uploads")) return std::nullopt;
      return http::error_response(404, "no", "no route");
    };
    CHECK(f.upload(pattern(2500)).error().code == "http_413");
    CHECK(f.server.count("POST /data") == 2);
    CHECK(f.server.count("POST /data/multipart") == 1);
  }
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

TEST_CASE("upload: a part whose answer tells nothing is sent again", "[storage][upload]") {
  Fixture f;
  f.settings.journal = &f.journal;
  f.settings.parallel = 1;
  const std::string answer =
      GENERATE(as<std::string>(), "<html>welcome</html>", "{}", R"({"etag":""})");
  int times = 3;
  f.server.fault = [&](const http::ServerRequest& request) -> std::optional<http::ServerResponse> {
    if (!UploadFixture::is_part(request, "2") || times-- <= 0) return std::nullopt;
    return http::ServerResponse::json(200, answer);
  };
  SECTION("until it does") {
    REQUIRE(f.upload(pattern(2500)).ok());
    CHECK(f.stored() == pattern(2500));
    CHECK(f.parts_sent() == 6);
  }
  SECTION("or is an outage: what is there is kept for another attempt") {
    times = 100;
    const auto item = f.upload(pattern(2500));
    REQUIRE_FALSE(item.ok());
    CHECK(item.error().kind == ErrorKind::retry);
    CHECK_THAT(item.error().detail, Catch::StartsWith("upload of n: part 2: "));
    CHECK(f.parts_sent() == 5);  // the first, and four tries of the second
    CHECK(f.journal.only().parts.size() == 1);
    CHECK(f.server.uploads.size() == 1);
  }
  CHECK(f.aborts() == 0);
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

/// A domain server at the end of a line that is lost whenever a body goes out.
class LossyHttp final : public http::HttpClient {
 public:
  explicit LossyHttp(Clock& clock) : clock_(clock) {}
  Awaitable<Result<http::Response>> send(http::Request request) override {
    if (request.source != nullptr) {
      ++bodies;
      if (moves) {
        std::string piece(1000, '\0');
        const std::span<char> room(piece);
        const Result<std::size_t> got = co_await request.source->read(room);
        REQUIRE(got.ok());
      }
      co_await clock_.sleep_for(takes);
      if (bodies <= losses) co_return Error(ErrorKind::retry, "curl_connection_lost", "lost");
    }
    co_return pn::testing::json_answer(200, answer(request));
  }

  bool parts = false;  ///< or one request
  bool moves = true;   ///< some bytes go out before it is lost
  std::chrono::seconds takes{0};
  int losses = 1000;
  int bodies = 0;  ///< that were to go out

 private:
  [[nodiscard]] std::string answer(const http::Request& request) const {
    const std::string item = R"({"id":"i","name":"n","data_type":"ply","size":100000})";
    if (request.url.path() == "/api/v1/info") {
      return parts ? R"({"upload":{"request_max_bytes":100,"multipart":{"enabled":true}}})" : "{}";
    }
    if (request.method == http::Method::get) return R"({"data":[]})";
    if (request.url.query().starts_with("uploads")) {
      return R"({"upload_id":"u","part_size":1000000})";
    }
    if (request.method == http::Method::put) return R"({"etag":"e"})";
    return parts ? item : R"({"data":[)" + item + "]}";
  }

  Clock& clock_;
};

/// A client at the other end, with the settings of a node.
struct Line {
  TestLoop loop;
  ThreadPool pool{"files", 1};
  pn::testing::FakeRng rng;
  LimitsCache limits;
  LossyHttp http{loop.clock};
  DomainClient client{
      {.http = http, .files = pool, .clock = loop.clock, .rng = rng, .limits = limits},
      *http::Url::parse("http://127.0.0.1:1"),
      DomainId("d1"),
      std::make_unique<pn::testing::SteppedTokens>(std::vector<std::string>{"t1"}),
      DomainClientOptions()};
  std::optional<Result<DataItem>> done;

  /// To its end, however long that takes.
  void upload() {
    Started started(loop, run());
    loop.advance(12h);
    REQUIRE(started.done());
    started.rethrow();
  }
  Awaitable<void> run() {
    UploadOrder order;
    order.name = "n";
    order.data_type = "ply";
    order.bytes = pattern(100'000);
    Result<DataItem> item = co_await client.upload(std::move(order));
    done = std::move(item);
  }
};

}  // namespace

TEST_CASE("upload: a part is tried as often as is said, however long that takes",
          "[storage][upload]") {
  Line line;
  line.http.parts = true;
  line.http.takes = GENERATE(0s, 600s);
  SECTION("to the last") {
    line.upload();
    REQUIRE_FALSE(line.done->ok());
    CHECK(line.done->error().code == "curl_connection_lost");
  }
  SECTION("which gets through") {
    line.http.losses = 10;
    line.upload();
    CHECK(line.done->ok());
  }
  CHECK(line.http.bodies == 11);  // UPLOAD_PART_RETRIES is 10
}

TEST_CASE("upload: of one request's time the one in which bytes move is not counted",
          "[storage][upload]") {
  Line line;
  SECTION("a slow line that breaks is not given up") {
    line.http.takes = 600s;
    line.http.losses = 3;
    line.upload();
    CHECK(line.done->ok());
    CHECK(line.http.bodies == 4);
  }
  SECTION("but it is, where it never gets through") {
    line.http.takes = 600s;
    line.upload();
    CHECK(line.done->error().code == "curl_connection_lost");
    CHECK(line.http.bodies >= 9);  // two minutes of pauses
    CHECK(line.http.bodies <= 10);
  }
  SECTION("and where nothing moves it is so after two minutes") {
    line.http.takes = 40s;
    line.http.moves = false;
    line.upload();
    CHECK(line.done->error().code == "curl_connection_lost");
    CHECK(line.http.bodies == 4);
  }
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
