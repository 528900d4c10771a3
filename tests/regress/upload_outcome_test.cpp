#include "base/awaitable.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "runners/task_context.hpp"
#include "storage/ports.hpp"
#include "tests/node/engine_fixture.hpp"

#include <catch2/catch.hpp>

// Symptom, seen elsewhere: a runner failed for a reason of its own, its log could not be uploaded
// besides, and what was reported was the upload. The reason was lost.

namespace pn::node {

using testing::EngineFixture;

TEST_CASE("task: an upload that fails does not replace the runner's own outcome",
          "[regress][node]") {
  EngineFixture f;
  f.ports.put_failure = Error(ErrorKind::retry, "http_503", "the domain server is away");
  bool fails = false;
  SECTION("which is a failure") { fails = true; }
  SECTION("which is a success, for who can do without it") {}
  f.add([fails](runners::TaskContext& task) -> Awaitable<Result<void>> {
    const storage::PutOptions options;
    const auto put = co_await task.outputs().put_bytes("log", "x", options);
    CHECK_FALSE(put.ok());
    if (fails) co_return Error(ErrorKind::rejected, "too_few_photos", "only 2 photos");
    co_return Result<void>();
  });
  f.offer("t1");
  f.start();
  f.poll_until([&] { return f.dms.count("fail") + f.dms.count("complete") == 1; });
  if (fails) {
    REQUIRE(f.dms.of("fail").size() == 1);
    CHECK(f.dms.of("fail")[0].body["reason"] == "too_few_photos");
    CHECK(f.dms.of("fail")[0].body["details"]["error"] == "only 2 photos");
  } else {
    REQUIRE(f.dms.of("complete").size() == 1);
    CHECK(f.dms.of("complete")[0].body["output_cids"].empty());
  }
}

}  // namespace pn::node
