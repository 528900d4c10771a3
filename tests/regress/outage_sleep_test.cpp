#include "base/awaitable.hpp"
#include "base/result.hpp"
#include "runners/task_context.hpp"
#include "tests/node/engine_fixture.hpp"
#include "tests/node/fake_dms.hpp"

#include <chrono>
#include <cstddef>
#include <string>

#include <catch2/catch.hpp>

// Symptom, seen elsewhere: after an outage of the server's the node slept for 30 to 60 minutes
// before it asked for work again, because each error had made the pause longer.

namespace pn::node {

using namespace std::chrono_literals;
using testing::EngineFixture;
using testing::FakeDms;
using testing::Reply;

TEST_CASE("poll: a day without DMS makes no pause longer than the longest", "[regress][node]") {
  EngineFixture f;
  f.add([](runners::TaskContext&) -> Awaitable<Result<void>> { co_return Result<void>(); });
  f.config.poll_backoff_max = 15s;
  f.dms.on_claim = [](const FakeDms::Call&) { return Reply(503, std::string()); };
  f.start();
  f.loop.advance(24h);
  const std::size_t before = f.polls();
  f.dms.on_claim = [](const FakeDms::Call&) { return Reply(204, std::string()); };
  f.loop.advance(15s);
  CHECK(f.polls() > before);
}

}  // namespace pn::node
