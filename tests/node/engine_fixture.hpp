#pragma once

#include "node/disk_guard.hpp"
#include "node/engine.hpp"
#include "tests/node/node_fixture.hpp"

#include <cstddef>
#include <memory>
#include <string>

namespace pn::node::testing {

/// An engine on virtual time.
struct EngineFixture : NodeFixture {
  std::unique_ptr<Engine> engine;
  std::unique_ptr<pn::testing::Started> running;
  RunMode mode = RunMode::serve;
  SpaceProbe space = probe_space;

  ~EngineFixture() {
    if (running) {
      running->cancel();
      poll_until([this] { return running->done(); });
    }
  }
  void start() {
    engine = std::make_unique<Engine>(parts(), mode, space);
    running = std::make_unique<pn::testing::Started>(loop, engine->run());
    loop.poll();
  }
  void offer(const std::string& id) { dms.claims.push_back(Reply(200, envelope(loop.clock, id))); }
  std::size_t polls() { return dms.count("tasks"); }
};

}  // namespace pn::node::testing
