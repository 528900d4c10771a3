#include "node/heartbeat_loop.hpp"

#include "base/awaitable.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"
#include "base/time.hpp"
#include "node/lease.hpp"
#include "storage/task_token.hpp"
#include "tests/node/fake_dms.hpp"
#include "tests/node/heartbeat_fixture.hpp"
#include "tests/support/test_loop.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

namespace pn::node {
namespace {

using namespace std::chrono_literals;
using pn::testing::Started;
using testing::envelope;
using testing::Reply;
using Fixture = testing::BeatFixture;

}  // namespace

TEST_CASE("heartbeat: the first beat goes out at once, empty", "[node][heartbeat]") {
  Fixture f;
  f.open();
  REQUIRE(f.dms.calls.size() == 1);
  CHECK(f.last_beat() == *parse_json(R"({"progress":{},"events":[]})"));
}

TEST_CASE("heartbeat: by time, a beat in each quarter to third of the lease", "[node][heartbeat]") {
  Fixture f;
  f.open();
  f.start();
  SteadyTime before = f.dms.calls.back().at;
  for (int i = 0; i < 20; ++i) {
    f.loop.advance(7499ms);
    REQUIRE(f.dms.calls.size() == static_cast<std::size_t>(1 + i));
    f.loop.advance(f.loop.clock.next_due() - f.loop.clock.steady_now());
    REQUIRE(f.dms.calls.size() == static_cast<std::size_t>(2 + i));
    const SteadyTime at = f.dms.calls.back().at;
    CHECK(at - before >= 7500ms);
    CHECK(at - before <= 10'500ms);
    before = at;
  }
  CHECK(f.beats->end() == LeaseEnd::none);
}

TEST_CASE("heartbeat: what comes during a beat goes with the next", "[node][heartbeat]") {
  Fixture f;
  f.open();
  f.start();
  f.dms.on_heartbeat = [&](const Json&) {
    Reply slow = f.renewed();
    slow.after = 1s;
    return slow;
  };
  f.beats->set_progress("1");
  f.beats->add_event("1");
  f.loop.advance(300ms);
  REQUIRE(f.dms.calls.size() == 2);
  f.beats->set_progress("2");
  f.beats->add_event("2");
  f.loop.advance(1500ms);
  REQUIRE(f.dms.calls.size() == 3);
  CHECK(f.last_beat() == *parse_json(R"({"progress":2,"events":[2]})"));
}

TEST_CASE("heartbeat: failures of every sort end nothing before the fence", "[node][heartbeat]") {
  Fixture f;
  f.open();
  f.start();
  const SteadyTime opened = f.dms.calls.back().at;
  int n = 0;
  f.dms.on_heartbeat = [&](const Json&) {
    switch (++n % 5) {
      case 0:
        return Reply(503, std::string());
      case 1:
        return Reply(200, std::string("{bad"));
      case 2:
        return Reply::error({ErrorKind::retry, "curl_reset", "reset"});
      case 3:
        return Reply::hang();
      default:
        return Reply(400, std::string());
    }
  };
  f.loop.advance(opened + 25s - f.loop.clock.steady_now());
  CHECK(f.beats->end() == LeaseEnd::none);
  CHECK(n > 5);
  SECTION("and one success renews it") {
    f.dms.on_heartbeat = [&](const Json&) { return f.renewed(); };
    f.loop.advance(60s);
    CHECK(f.beats->end() == LeaseEnd::none);
  }
  SECTION("and at the fence it is over, also under a request") {
    f.loop.advance(opened + 25'600ms - f.loop.clock.steady_now());
    CHECK(f.beats->end() == LeaseEnd::fenced);
    CHECK(f.running->done());
    CHECK_FALSE(f.running->failed());
  }
}

TEST_CASE("heartbeat: a hanging beat at the fence does not hold the end up", "[node][heartbeat]") {
  Fixture f;
  f.open();
  const SteadyTime opened = f.dms.calls.back().at;
  f.start();
  f.dms.on_heartbeat = [](const Json&) { return Reply::hang(); };
  f.loop.advance(opened + 25'499ms - f.loop.clock.steady_now());
  CHECK(f.beats->end() == LeaseEnd::none);
  f.loop.advance(2ms);
  CHECK(f.beats->end() == LeaseEnd::fenced);
}

TEST_CASE("heartbeat: definite answers lose the lease at once", "[node][heartbeat]") {
  const int status = GENERATE(401, 403, 404, 409, 410);
  Fixture f;
  f.open();
  f.start();
  f.dms.on_heartbeat = [status](const Json&) { return Reply(status, std::string()); };
  f.beats->set_progress("1");
  f.loop.advance(250ms);
  CHECK(f.beats->end() == LeaseEnd::lost);
  CHECK(f.running->done());
  CHECK(f.dms.calls.size() == (status == 401 ? 3 : 2));
}

TEST_CASE("heartbeat: a 401 that a new token mends loses nothing", "[node][heartbeat]") {
  Fixture f;
  f.open();
  f.start();
  int n = 0;
  f.dms.on_heartbeat = [&](const Json&) {
    return ++n == 1 ? Reply(401, std::string()) : f.renewed();
  };
  f.beats->set_progress("1");
  f.loop.advance(250ms);
  CHECK(n == 2);
  CHECK(f.beats->end() == LeaseEnd::none);
}

TEST_CASE("heartbeat: cancel ends the lease, also in the first answer", "[node][heartbeat]") {
  Fixture f;
  const auto cancel = [](const Json&) { return Reply(200, Json{{"cancel", true}}); };
  SECTION("first") {
    f.dms.on_heartbeat = cancel;
    CHECK(f.loop.run(f.beats->open(60s)).ok());
    CHECK(f.beats->end() == LeaseEnd::canceled);
  }
  SECTION("later") {
    f.open();
    f.start();
    f.dms.on_heartbeat = cancel;
    f.loop.advance(11s);
    CHECK(f.beats->end() == LeaseEnd::canceled);
    CHECK(f.running->done());
  }
}

TEST_CASE("heartbeat: a new task token is put where the data plane reads it", "[node][heartbeat]") {
  Fixture f;
  f.open();
  CHECK(f.token.get().reveal() == "first");
  f.start();
  f.dms.on_heartbeat = [&](const Json&) { return Reply(200, Json{{"access_token", "second"}}); };
  int answered = 0;
  f.beats->renew_token([&] { ++answered; });
  f.loop.poll();  // at once, without jitter
  CHECK(f.token.get().reveal() == "second");
  CHECK(f.lease.token.reveal() == "second");
  CHECK(answered == 1);
}

TEST_CASE("heartbeat: who waits for a token waits through a failed beat", "[node][heartbeat]") {
  Fixture f;
  f.open();
  f.start();
  int n = 0;
  f.dms.on_heartbeat = [&](const Json&) {
    return ++n < 3 ? Reply(503, std::string()) : Reply(200, Json{{"access_token", "second"}});
  };
  int answered = 0;
  f.beats->renew_token([&] { ++answered; });
  f.loop.poll();
  CHECK(answered == 0);
  f.loop.advance(5s);
  CHECK(answered == 1);
  CHECK(f.token.get().reveal() == "second");
}

TEST_CASE("heartbeat: who waits for a token is told when the lease ends", "[node][heartbeat]") {
  Fixture f;
  f.open();
  f.start();
  f.dms.on_heartbeat = [&](const Json&) { return Reply(409, std::string()); };
  int answered = 0;
  f.beats->renew_token([&] { ++answered; });
  f.loop.poll();
  CHECK(answered == 1);
  f.beats->renew_token([&] { ++answered; });
  CHECK(answered == 2);
}

TEST_CASE("heartbeat: a flush sends what is left, and nothing when nothing is",
          "[node][heartbeat]") {
  Fixture f;
  f.open();
  f.start();
  {
    Started flush(f.loop, f.beats->flush());
    f.loop.poll();
    CHECK(flush.done());
    CHECK(f.dms.calls.size() == 1);
  }
  f.beats->set_progress("1");
  {
    Started flush(f.loop, f.beats->flush());
    f.loop.poll();
    CHECK(flush.done());
    CHECK(f.dms.calls.size() == 2);
    CHECK(f.last_beat()["progress"] == 1);
  }
  f.dms.on_heartbeat = [](const Json&) { return Reply(500, std::string()); };
  f.beats->set_progress("2");
  {
    std::size_t calls = 0;
    const auto body = [&]() -> Awaitable<void> {
      co_await f.beats->flush();
      calls = f.dms.calls.size();
    };
    Started flush(f.loop, body());
    f.loop.advance(5s);
    CHECK(flush.done());
    CHECK(calls == 5);  // three tries
  }
}

TEST_CASE("heartbeat: a flush ends with the lease", "[node][heartbeat]") {
  Fixture f;
  f.open();
  f.start();
  f.dms.on_heartbeat = [](const Json&) { return Reply(200, Json{{"cancel", true}}); };
  f.beats->set_progress("1");
  Started flush(f.loop, f.beats->flush());
  f.loop.poll();
  CHECK(flush.done());
  CHECK(f.beats->end() == LeaseEnd::canceled);
  CHECK(f.fence.canceled());
}

TEST_CASE("heartbeat: the first beat is tried again, until refused, fenced or given up",
          "[node][heartbeat]") {
  Fixture f;
  std::optional<Result<void>> result;
  const auto body = [&]() -> Awaitable<void> { result = co_await f.beats->open(60s); };
  SECTION("tried again") {
    int n = 0;
    f.dms.on_heartbeat = [&](const Json&) {
      return ++n < 4 ? Reply(503, std::string()) : f.renewed();
    };
    Started opening(f.loop, body());
    f.loop.advance(10s);
    REQUIRE(result);
    CHECK(result->ok());
    CHECK(n == 4);
  }
  SECTION("refused") {
    f.dms.on_heartbeat = [](const Json&) { return Reply(422, std::string()); };
    Started opening(f.loop, body());
    f.loop.poll();
    REQUIRE(result);
    CHECK_FALSE(result->ok());
    CHECK(f.beats->end() == LeaseEnd::none);
  }
  SECTION("fenced") {
    f.dms.on_heartbeat = [](const Json&) { return Reply(503, std::string()); };
    Started opening(f.loop, body());
    f.loop.advance(26s);
    REQUIRE(result);
    CHECK_FALSE(result->ok());
    CHECK(f.beats->end() == LeaseEnd::fenced);
  }
  SECTION("given up") {
    f.dms.on_heartbeat = [](const Json&) { return Reply(503, std::string()); };
    Started opening(f.loop, body());
    f.loop.poll();
    CHECK_FALSE(result);
    f.beats->give_up();
    f.loop.poll();
    REQUIRE(result);
    CHECK_FALSE(result->ok());
  }
}

TEST_CASE("heartbeat: lease_id is echoed when one was given", "[node][heartbeat]") {
  Json body;
  {
    const pn::testing::FakeClock clock;
    body = envelope(clock, "t1");
  }
  body["lease_id"] = "L7";
  Fixture f(body);
  f.open();
  CHECK(f.last_beat()["lease_id"] == "L7");
}

TEST_CASE("heartbeat: cancellation ends the loop", "[node][heartbeat]") {
  Fixture f;
  f.open();
  f.dms.on_heartbeat = [](const Json&) { return Reply::hang(); };
  f.start();
  SECTION("while it waits") {}
  SECTION("during a beat") {
    f.beats->set_progress("1");
    f.loop.advance(250ms);
  }
  f.running->cancel();
  f.loop.poll();
  CHECK(f.running->done());
  CHECK(f.running->failed());
  CHECK(f.beats->end() == LeaseEnd::none);
}

}  // namespace pn::node
