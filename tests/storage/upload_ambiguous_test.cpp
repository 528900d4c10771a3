#include "base/result.hpp"
#include "base/rng.hpp"
#include "http/server.hpp"
#include "http/types.hpp"
#include "tests/storage/upload_fixture.hpp"
#include "tests/support/fake_rng.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <catch2/catch.hpp>

// Answers that are lost, everywhere: the server acted, and the client cannot know.

namespace pn::storage {
namespace {

using testing::pattern;
using testing::Started;
using testing::UploadFixture;

http::ServerResponse bad_gateway() { return http::error_response(502, "lost", "it is lost"); }

struct Fixture : UploadFixture {
  int calls = 0;
  int begun_in_vain = 0;  ///< uploads whose id nobody was told

  /// One record with these bytes, and nothing half beside it.
  void check(const std::string& bytes) {
    CHECK(stored() == bytes);
    CHECK(server.uploads.size() == static_cast<std::size_t>(begun_in_vain));
    CHECK(journal.size() == 0);
  }
  void note_lost(const http::ServerRequest& request) {
    if (request.has_query("uploads")) ++begun_in_vain;
  }
};

}  // namespace

TEST_CASE("upload_ambiguous: whichever answer is lost, there is one record",
          "[storage][upload_ambiguous]") {
  const std::size_t size = GENERATE(as<std::size_t>(), 60, 3500);  // in one request, in parts
  const bool exists = GENERATE(false, true);
  const bool digest = GENERATE(false, true);
  const bool acted = GENERATE(true, false);  // or it was the request that was lost
  bool reached = true;
  for (int which = 1; reached; ++which) {
    CAPTURE(size, exists, digest, acted, which);
    Fixture f;
    f.server.request_max = 700;
    f.server.tells_digest = digest;
    if (exists) f.server.add("n", "ply", pattern(size, 7));  // the same size
    const auto lose =
        [&](const http::ServerRequest& request) -> std::optional<http::ServerResponse> {
      if (++f.calls != which) return std::nullopt;
      if (acted) f.note_lost(request);
      return bad_gateway();
    };
    (acted ? f.server.lost : f.server.fault) = lose;
    REQUIRE(f.upload(pattern(size)).ok());
    f.check(pattern(size));
    // What came to something is not sent a second time.
    const int bodies = f.server.count("POST /data") + f.server.count("PUT /data");
    if (acted && size == 60) CHECK(bodies == 1);
    reached = f.calls >= which;
  }
}

TEST_CASE("upload_ambiguous: an abort whose answer is lost is asked for again",
          "[storage][upload_ambiguous]") {
  Fixture f;
  const bool acted = GENERATE(true, false);
  bool lost = false;
  const auto lose = [&](const http::ServerRequest& request) -> std::optional<http::ServerResponse> {
    if (request.method != http::Method::del || std::exchange(lost, true)) return std::nullopt;
    return bad_gateway();
  };
  f.server.fault = [&](const http::ServerRequest& request) -> std::optional<http::ServerResponse> {
    if (UploadFixture::is_part(request, "2")) return http::error_response(403, "no", "no");
    return acted ? std::nullopt : lose(request);
  };
  if (acted) f.server.lost = lose;
  CHECK(f.upload(pattern(3500)).error().code == "http_403");
  CHECK(f.aborts() == 2);
  CHECK(f.server.uploads.empty());
  CHECK(f.server.items.empty());
}

TEST_CASE("upload_ambiguous: any calls and answers lost at random leave one record",
          "[storage][upload_ambiguous][mt]") {
  const std::uint64_t seed = 20'261'128;
  std::printf("upload_ambiguous: seed %llu\n", static_cast<unsigned long long>(seed));
  pn::testing::FakeRng rng(seed);
  int harmed = 0;
  for (int round = 0; round < 60; ++round) {
    CAPTURE(seed, round);
    Fixture f;
    f.server.tells_digest = uniform(rng, 0.0, 1.0) < 0.5;
    const std::size_t size = uniform(rng, 0.0, 1.0) < 0.5 ? 60 : 7300;
    f.server.request_max = 700;
    if (uniform(rng, 0.0, 1.0) < 0.5) f.server.add("n", "ply", pattern(size, 7));
    // Never so often in a row that a call is given up: that is another promise.
    std::map<std::string, int> in_a_row;
    const auto lose = [&](const http::ServerRequest& request, bool acted) {
      std::optional<http::ServerResponse> out;
      int& before = in_a_row[std::string(name(request.method)) + request.path +
                             request.query_value("partNumber").value_or("") +
                             (request.has_query("uploads") ? "uploads" : "")];
      if (uniform(rng, 0.0, 1.0) > 0.3 || before >= 2) {
        if (acted) before = 0;
        return out;
      }
      ++before;
      ++harmed;
      if (acted) f.note_lost(request);
      out = bad_gateway();
      return out;
    };
    f.server.fault = [&](const http::ServerRequest& request) { return lose(request, false); };
    f.server.lost = [&](const http::ServerRequest& request) { return lose(request, true); };
    const auto item = f.upload(pattern(size));
    if (!item.ok()) FAIL(to_string(item.error()));
    f.check(pattern(size));
  }
  CHECK(harmed > 100);
}

TEST_CASE("upload_ambiguous: of two attempts at one name there is one record, whole",
          "[storage][upload_ambiguous][mt]") {
  Fixture f;
  f.server.tells_digest = GENERATE(false, true);
  const std::size_t size = GENERATE(as<std::size_t>(), 60, 7300);
  f.server.request_max = 700;
  f.settings.journal = nullptr;  // they are two nodes
  const auto one = f.life();
  const auto two = f.life();
  const auto upload = [&](pn::testing::DomainWorld& world, std::size_t seed) -> Awaitable<void> {
    UploadOrder order;
    order.name = "n";
    order.data_type = "ply";
    order.bytes = pattern(size, seed);
    const auto item = co_await world.client->upload(std::move(order));
    REQUIRE(item.ok());
  };
  Started first(f.loop, upload(*one, 1));
  Started second(f.loop, upload(*two, 2));
  f.until([&] { return first.done() && second.done(); });
  first.rethrow();
  second.rethrow();
  const bool whole = f.stored() == pattern(size, 1) || f.stored() == pattern(size, 2);
  CHECK(whole);
  CHECK(f.server.uploads.empty());
}

TEST_CASE("upload: what the server is known to have is not sent again", "[storage][upload]") {
  UploadFixture f;
  const std::size_t size = GENERATE(as<std::size_t>(), 60, 7300);
  f.server.request_max = 700;
  f.server.tells_digest = true;
  const auto first = f.upload(pattern(size));
  REQUIRE(first.ok());
  CHECK(first->sha256.size() == 64);
  const std::size_t calls = f.server.seen.size();
  const auto same = f.upload(pattern(size));
  REQUIRE(same.ok());
  CHECK(*same == *first);
  CHECK(f.server.seen.size() == calls + 1);  // the look-up
  const auto other = f.upload(pattern(size, 1));
  REQUIRE(other.ok());
  CHECK(other->id == first->id);
  CHECK(f.stored() == pattern(size, 1));
  f.server.tells_digest = false;  // then nobody can tell
  REQUIRE(f.upload(pattern(size, 1)).ok());
  CHECK(f.server.items.begin()->second.version == 3);
}

}  // namespace pn::storage
