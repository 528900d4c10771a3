#include "base/time.hpp"
#include "node/poll_core.hpp"
#include "tests/support/fake_rng.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iostream>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

namespace pn::node {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kNodes = 10'000;

/// How a server of the test treats who asks for work; there is none.
struct Server {
  std::string name;
  Millis outage;                      ///< begins with every node's request cut at once
  std::optional<Millis> retry_after;  ///< told to all during the outage
  Millis hold;                        ///< how long it keeps a request without work
};

struct Seen {
  Millis longest_pause{0};
  std::vector<std::size_t> per_second;  ///< from when the server was back
};

/// 10,000 poll loops on one virtual time line.
Seen play(const Server& server, Millis watched, std::uint64_t seed) {
  pn::testing::FakeRng rng(seed);
  std::vector<std::unique_ptr<PollCore>> nodes;
  struct Turn {
    Millis at;
    std::size_t node;
    bool operator>(const Turn& other) const { return at > other.at; }
  };
  std::priority_queue<Turn, std::vector<Turn>, std::greater<>> turns;
  Seen seen;
  seen.per_second.resize(static_cast<std::size_t>(watched / 1s));
  for (std::size_t i = 0; i < kNodes; ++i) {
    nodes.push_back(std::make_unique<PollCore>(1s, 30s, rng));
    nodes.back()->after_work();
    turns.push({nodes.back()->after_error(server.retry_after), i});
  }
  while (turns.top().at < server.outage + watched) {
    const auto [at, node] = turns.top();
    turns.pop();
    if (at < server.outage) {
      const Millis pause = nodes[node]->after_error(server.retry_after);
      seen.longest_pause = std::max(seen.longest_pause, pause);
      turns.push({at + pause, node});
      continue;
    }
    ++seen.per_second[static_cast<std::size_t>((at - server.outage) / 1s)];
    turns.push({at + server.hold + nodes[node]->after_nothing(server.hold, std::nullopt), node});
  }
  return seen;
}

}  // namespace

TEST_CASE("poll_herd: 10,000 nodes that saw the same outage come back spread out",
          "[node][poll_herd]") {
  const std::vector<Server> servers{{"a restart", 0s, std::nullopt, 0s},
                                    {"a restart, long polls", 0s, std::nullopt, 30s},
                                    {"5 s", 5s, std::nullopt, 0s},
                                    {"1 min", 60s, std::nullopt, 0s},
                                    {"1 min, long polls", 60s, std::nullopt, 30s},
                                    {"10 min", 600s, std::nullopt, 0s},
                                    {"1 h, long polls", 3600s, std::nullopt, 30s},
                                    {"20 s of Retry-After: 20", 19s, 20s, 0s},
                                    {"1 min of Retry-After: 5", 60s, 5s, 30s}};
  const std::uint64_t seed = Catch::rngSeed() + 1;
  for (const Server& server : servers) {
    const Seen seen = play(server, 60s, seed);
    std::size_t all = 0;
    for (const std::size_t count : seen.per_second) all += count;
    const double mean = static_cast<double>(all) / static_cast<double>(seen.per_second.size());
    const std::size_t peak = *std::ranges::max_element(seen.per_second);
    std::cout << "poll_herd: seed " << seed << ", " << server.name << ": peak " << peak
              << "/s, mean " << mean << "/s\n";
    CAPTURE(server.name, peak, mean, seed);
    CHECK(static_cast<double>(peak) <= 2 * mean);
    CHECK(seen.longest_pause <= 30s + server.retry_after.value_or(0s));
  }
}

}  // namespace pn::node
