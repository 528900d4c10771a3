#include "base/awaitable.hpp"
#include "base/result.hpp"
#include "runners/task_context.hpp"
#include "tests/node/engine_fixture.hpp"

#include <chrono>

#include <catch2/catch.hpp>

// Symptom, seen elsewhere: a task ended when the time-out of one request was over, because the
// request that had brought it lent its deadline to all that came of it.

namespace pn::node {

using namespace std::chrono_literals;
using testing::EngineFixture;

TEST_CASE("task: REQUEST_TIMEOUT_SECS is of a request, and no task ends by it", "[regress][node]") {
  EngineFixture f;
  f.config.request_timeout = 1s;
  bool worked = false;
  f.add([&](runners::TaskContext& task) -> Awaitable<Result<void>> {
    co_await task.clock().sleep_for(1h);
    worked = true;
    co_return Result<void>();
  });
  f.offer("t1");
  f.start();
  f.loop.advance(59min);
  CHECK(f.engine->busy() == 1);
  f.loop.advance(2min);
  CHECK(worked);
  CHECK(f.dms.count("complete") == 1);
  CHECK(f.dms.count("fail") == 0);
}

}  // namespace pn::node
