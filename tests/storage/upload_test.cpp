#include "base/awaitable.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "http/server.hpp"
#include "http/types.hpp"
#include "storage/domain_client.hpp"
#include "storage/domain_json.hpp"
#include "tests/storage/domain_fixture.hpp"
#include "tests/storage/domain_world.hpp"
#include "tests/storage/upload_fixture.hpp"
#include "tests/support/temp_folder.hpp"
#include "tests/support/test_loop.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

namespace pn::storage {
namespace {

using testing::DomainWorld;
using testing::pattern;
using testing::UploadFixture;

/// One request at a time, and no journal.
struct Fixture : pn::testing::DomainFixture {
  Result<DataItem> upload_file(const std::string& bytes) {
    UploadOrder order;
    order.name = "n";
    order.data_type = "ply";
    order.file = folder.write("file", bytes);
    return world.run(world.client->upload(std::move(order)));
  }
};

using Seen = std::vector<std::string>;

}  // namespace

TEST_CASE("upload: looks up, asks the limit once, creates in one request", "[storage][upload]") {
  Fixture f;
  const std::string bytes = pattern(5000);
  const auto item = f.world.upload("n", "ply", bytes);
  REQUIRE(item.ok());
  CHECK(item->size == 5000);
  CHECK(f.server.items.at(item->id.str()).bytes == bytes);
  CHECK(f.server.seen == Seen{"GET /data", "GET /api/v1/info", "POST /data"});
  REQUIRE(f.world.upload("m", "ply", "").ok());
  CHECK(f.server.seen.size() == 5);  // the limit is known
  CHECK(f.server.items.size() == 2);
}

TEST_CASE("upload: a name that exists is updated", "[storage][upload]") {
  Fixture f;
  const std::string id = f.server.add("n", "ply", "old");
  const auto item = f.world.upload("n", "ply", "new");
  REQUIRE(item.ok());
  CHECK(item->id == DataId(id));
  CHECK(f.server.items.at(id).bytes == "new");
  CHECK(f.server.count("PUT /data") == 1);
  CHECK(f.server.count("POST /data") == 0);
}

TEST_CASE("upload: one that is made meanwhile is updated too", "[storage][upload]") {
  Fixture f;
  const std::size_t size = GENERATE(as<std::size_t>(), 10, 5000);  // in one request, in parts
  f.server.request_max = 2000;
  bool once = false;
  f.server.served = [&](const http::ServerRequest& request) {
    if (request.path == "/api/v1/info" && !std::exchange(once, true)) f.server.add("n", "ply", "x");
  };
  const auto item = f.upload_file(pattern(size));
  REQUIRE(item.ok());
  CHECK(f.server.items.size() == 1);
  CHECK(f.server.items.begin()->second.bytes == pattern(size));
  CHECK(f.server.uploads.empty());
}

TEST_CASE("upload: one that is made and removed meanwhile is made anew", "[storage][upload]") {
  Fixture f;
  int conflicts = GENERATE(1, 100);
  const bool passes = conflicts == 1;
  f.server.fault = [&](const http::ServerRequest& request) -> std::optional<http::ServerResponse> {
    if (request.method != http::Method::post || conflicts-- <= 0) return std::nullopt;
    return http::error_response(409, "conflict", "it exists, for the moment");
  };
  const auto item = f.upload_file(pattern(10));
  CHECK(item.ok() == passes);
  CHECK(f.server.count("POST /data") == (passes ? 2 : 4));
  CHECK(f.server.count("GET /data") == (passes ? 2 : 4));
}

TEST_CASE("upload: a record that is removed meanwhile is made anew", "[storage][upload]") {
  Fixture f;
  UploadOrder order;
  order.name = "n";
  order.data_type = "ply";
  order.bytes = "new";
  order.existing.emplace().id = DataId("gone");
  const auto item = f.world.run(f.world.client->upload(std::move(order)));
  REQUIRE(item.ok());
  CHECK(f.server.items.at(item->id.str()).bytes == "new");
  CHECK(f.server.seen == Seen{"GET /api/v1/info", "PUT /data", "GET /data", "POST /data"});
}

TEST_CASE("upload: in parts too, a record that is removed is made anew", "[storage][upload]") {
  Fixture f;
  f.server.request_max = 100;
  UploadOrder order;
  order.name = "n";
  order.data_type = "ply";
  order.file = f.folder.write("file", pattern(2500));
  order.existing.emplace().id = DataId("gone");
  const auto item = f.world.run(f.world.client->upload(std::move(order)));
  REQUIRE(item.ok());
  CHECK(f.server.items.at(item->id.str()).bytes == pattern(2500));
  CHECK(f.server.count("POST /data/multipart") == 3);  // refused, begun, completed
  CHECK(f.server.count("POST /data") == 0);
}

TEST_CASE("upload: an old server without parts updates in one request", "[storage][upload]") {
  Fixture f;
  f.server.request_max = 100;
  const std::string id = f.server.add("n", "ply", "old");
  f.server.fault = [&](const http::ServerRequest& request) -> std::optional<http::ServerResponse> {
    if (request.path.ends_with("/multipart")) return http::error_response(404, "no", "no route");
    if (request.method == http::Method::put) f.server.request_max = 1 << 20;
    return std::nullopt;
  };
  const auto item = f.upload_file(pattern(2500));
  REQUIRE(item.ok());
  CHECK(f.server.items.at(id).bytes == pattern(2500));
  CHECK(f.server.count("POST /data/multipart") == 1);
  CHECK(f.server.count("PUT /data") == 1);
}

TEST_CASE("upload: limits that the server does not tell are not guessed", "[storage][upload]") {
  Fixture f;
  f.server.request_max = 100;
  const auto [status, body, kind, code] = GENERATE(table<int, const char*, ErrorKind, const char*>({
      {500, "{}", ErrorKind::retry, "http_500"},
      {503, "{}", ErrorKind::retry, "http_503"},
      {403, "{}", ErrorKind::rejected, "http_403"},
      {200, "<html>", ErrorKind::retry, "limits_unknown"},
  }));
  INFO(status);
  bool fails = true;
  f.server.fault = [&](const http::ServerRequest& request) -> std::optional<http::ServerResponse> {
    if (request.path == "/api/v1/info" && fails) return http::ServerResponse::json(status, body);
    return std::nullopt;
  };
  const auto item = f.upload_file(pattern(2500));
  REQUIRE_FALSE(item.ok());
  CHECK(item.error().kind == kind);
  CHECK(item.error().code == code);
  CHECK(f.server.count("POST /data") == 0);
  fails = false;  // and the failure is not remembered
  REQUIRE(f.upload_file(pattern(2500)).ok());
  CHECK(f.server.count("POST /data/multipart") == 2);
}

TEST_CASE("upload: a server that has no such call gets one request", "[storage][upload]") {
  Fixture f;
  const int status = GENERATE(404, 405, 501);
  f.server.fault = [&](const http::ServerRequest& request) -> std::optional<http::ServerResponse> {
    if (request.path == "/api/v1/info") return http::ServerResponse::json(status, "{}");
    return std::nullopt;
  };
  REQUIRE(f.upload_file(pattern(2500)).ok());
  CHECK(f.server.count("POST /data") == 1);
}

TEST_CASE("upload: names that the server would refuse are not sent", "[storage][upload]") {
  Fixture f;
  CHECK(f.world.upload("a/b", "ply", "x").error().kind == ErrorKind::rejected);
  CHECK(f.world.upload("a", "", "x").error().kind == ErrorKind::rejected);
  CHECK(f.server.seen.empty());
}

TEST_CASE("upload: what does not fit goes in parts", "[storage][upload][mt]") {
  Fixture f;
  f.server.request_max = 2000;
  const std::size_t size = GENERATE(as<std::size_t>(), 2000, 3000, 3001, 12'345);
  const bool exists = GENERATE(false, true);
  if (exists) f.server.add("n", "ply", "old");
  const auto item = f.upload_file(pattern(size));
  REQUIRE(item.ok());
  CHECK(f.server.items.size() == 1);
  CHECK(f.server.items.at(item->id.str()).bytes == pattern(size));
  CHECK(f.server.items.at(item->id.str()).version == (exists ? 2 : 1));
  CHECK(f.server.count("PUT /data/multipart") == static_cast<int>((size + 999) / 1000));
  CHECK(f.server.count("DELETE /data/multipart") == 0);
}

TEST_CASE("upload: the envelope counts for the limit", "[storage][upload]") {
  Fixture f;
  REQUIRE(f.world.upload("n", "ply", pattern(1000)).ok());
  std::size_t envelope = 0;
  f.server.fault = [&](const http::ServerRequest& request) -> std::optional<http::ServerResponse> {
    const auto length = request.headers.find("content-length");
    if (request.method == http::Method::put && length)
      envelope = std::stoul(std::string(*length)) - 1000;
    return std::nullopt;
  };
  REQUIRE(f.world.upload("n", "ply", pattern(1000)).ok());
  REQUIRE(envelope > 100);
  const bool fits = GENERATE(true, false);
  f.server.request_max = 1000 + envelope - (fits ? 0 : 1);
  DomainWorld fresh(f.loop, f.server.url());  // has not seen the old limit
  const auto item = fresh.upload("n", "ply", pattern(1000));
  REQUIRE(item.ok());
  CHECK(f.server.count("POST /data/multipart") == (fits ? 0 : 2));
}

TEST_CASE("upload: servers without parts get one request", "[storage][upload]") {
  Fixture f;
  const int status = GENERATE(0, 1, 404, 405, 501);
  if (status == 0) f.server.has_info = false;
  if (status == 1) f.server.has_multipart = false;
  f.server.request_max = 2000;
  f.server.fault = [&](const http::ServerRequest& request) -> std::optional<http::ServerResponse> {
    if (request.path.ends_with("/data"))
      f.server.request_max = 1 << 20;  // it takes more than it says
    if (status > 1 && request.has_query("uploads")) return http::error_response(status, "no", "no");
    return std::nullopt;
  };
  if (status > 1) {
    // The limit is read before the first write raises it.
    f.server.fault =
        [&](const http::ServerRequest& request) -> std::optional<http::ServerResponse> {
      if (request.method == http::Method::post) f.server.request_max = 1 << 20;
      if (request.has_query("uploads")) return http::error_response(status, "no", "no");
      return std::nullopt;
    };
  }
  const auto item = f.upload_file(pattern(5000));
  REQUIRE(item.ok());
  CHECK(f.server.items.at(item->id.str()).bytes == pattern(5000));
  CHECK(f.server.count("POST /data") == 1);
  CHECK(f.server.count("POST /data/multipart") == (status > 1 ? 1 : 0));
}

TEST_CASE("upload: a part that fails is sent again, alone", "[storage][upload]") {
  Fixture f;
  f.server.request_max = 100;
  int failures = 3;
  f.server.fault = [&](const http::ServerRequest& request) -> std::optional<http::ServerResponse> {
    if (UploadFixture::is_part(request, "2") && failures-- > 0)
      return http::error_response(500, "x", "x");
    return std::nullopt;
  };
  const auto item = f.upload_file(pattern(3500));
  REQUIRE(item.ok());
  CHECK(f.server.items.at(item->id.str()).bytes == pattern(3500));
  CHECK(f.server.count("PUT /data/multipart") == 7);
  CHECK(f.server.count("DELETE /data/multipart") == 0);
}

TEST_CASE("upload: one that is given up is aborted on the server", "[storage][upload]") {
  Fixture f;
  f.server.request_max = 100;
  const int status = GENERATE(403, 500);
  f.server.fault = [&](const http::ServerRequest& request) -> std::optional<http::ServerResponse> {
    if (UploadFixture::is_part(request, "3")) return http::error_response(status, "x", "no more");
    return std::nullopt;
  };
  const auto item = f.upload_file(pattern(3500));
  REQUIRE_FALSE(item.ok());
  CHECK(item.error().code == "http_" + std::to_string(status));
  CHECK_THAT(item.error().detail, Catch::StartsWith("upload of n: part 3: "));
  CHECK(f.server.count("PUT /data/multipart") == (status == 403 ? 3 : 6));
  CHECK(f.server.count("DELETE /data/multipart") == 1);
  CHECK(f.server.uploads.empty());
  CHECK(f.server.items.empty());
}

TEST_CASE("upload: one that is cancelled is aborted on the server", "[storage][upload][mt]") {
  Fixture f;
  f.server.request_max = 100;
  std::unique_ptr<testing::Started> started;
  f.server.served = [&](const http::ServerRequest& request) {
    if (UploadFixture::is_part(request, "2")) started->cancel();
  };
  const auto body = [&]() -> Awaitable<void> {
    UploadOrder order;
    order.name = "n";
    order.data_type = "ply";
    order.file = f.folder.write("file", pattern(3500));
    const auto item = co_await f.world.client->upload(std::move(order));
  };
  started = std::make_unique<testing::Started>(f.loop, body());
  REQUIRE(f.loop.run_until([&] { return started->done(); }));
  CHECK_THROWS_AS(started->rethrow(), boost::system::system_error);
  CHECK(f.server.count("PUT /data/multipart") == 2);
  CHECK(f.server.count("DELETE /data/multipart") == 1);
  CHECK(f.server.uploads.empty());
}

TEST_CASE("upload: a server that forgot the upload gets it anew", "[storage][upload]") {
  Fixture f;
  f.server.request_max = 100;
  bool forgot = false;
  f.server.fault = [&](const http::ServerRequest& request) -> std::optional<http::ServerResponse> {
    if (UploadFixture::is_part(request, "2") && !std::exchange(forgot, true))
      f.server.uploads.clear();
    return std::nullopt;
  };
  const auto item = f.upload_file(pattern(2500));
  REQUIRE(item.ok());
  CHECK(f.server.items.at(item->id.str()).bytes == pattern(2500));
  CHECK(f.server.count("POST /data/multipart") == 3);
}

TEST_CASE("upload: a lost answer to complete leaves one record", "[storage][upload]") {
  Fixture f;
  f.server.request_max = 100;
  const bool exists = GENERATE(false, true);
  if (exists) f.server.add("n", "ply", pattern(2500));  // the same size: only its time tells
  bool lost = false;
  f.server.fault = [&](const http::ServerRequest& request) -> std::optional<http::ServerResponse> {
    if (!UploadFixture::completes(request) || std::exchange(lost, true)) return std::nullopt;
    const std::string id = *request.query_value("uploadId");
    const auto upload = f.server.uploads.at(id);
    f.server.uploads.erase(id);
    std::string bytes;
    for (const auto& [number, part] : upload.parts) bytes += part;
    if (exists) {
      f.server.items.begin()->second.bytes = bytes;
      f.server.items.begin()->second.version = 2;
    } else {
      f.server.add("n", "ply", bytes);
    }
    return http::error_response(502, "lost", "the answer is lost");
  };
  const auto item = f.upload_file(pattern(2500));
  REQUIRE(item.ok());
  CHECK(f.server.items.size() == 1);
  CHECK(f.server.items.begin()->second.bytes == pattern(2500));
  CHECK(f.server.count("PUT /data/multipart") == 3);  // nothing was sent twice
}

TEST_CASE("upload: too many parts are refused before the first", "[storage][upload]") {
  Fixture f;
  f.server.request_max = 100;
  f.server.part_size = 1;
  const auto item = f.upload_file(pattern(10'001));
  REQUIRE_FALSE(item.ok());
  CHECK(item.error().kind == ErrorKind::rejected);
  CHECK(item.error().code == "too_many_parts");
  CHECK(f.server.count("PUT /data/multipart") == 0);
  CHECK(f.server.uploads.empty());
}

TEST_CASE("upload: answers that make no sense are no fault of the data", "[storage][upload]") {
  Fixture f;
  f.server.request_max = 100;
  const auto [what, answer] = GENERATE(table<const char*, const char*>({
      {"initiate", R"({"upload_id":"u","part_size":0})"},
      {"initiate", R"({"part_size":10})"},
      {"complete", R"({"name":"n"})"},
  }));
  const std::string_view step = what;
  const std::string text = answer;
  f.server.fault = [&](const http::ServerRequest& r) -> std::optional<http::ServerResponse> {
    const bool hit = step == "initiate" ? r.has_query("uploads") : UploadFixture::completes(r);
    if (!hit) return std::nullopt;
    return http::ServerResponse::json(200, text);
  };
  const auto item = f.upload_file(pattern(2500));
  INFO(text);
  REQUIRE_FALSE(item.ok());
  CHECK(item.error().kind == ErrorKind::retry);
  CHECK(f.server.uploads.empty());
}

TEST_CASE("upload: an answer that cannot be read once is one that was lost", "[storage][upload]") {
  Fixture f;
  f.server.request_max = GENERATE(as<std::uint64_t>(), 100, 1 << 20);  // in parts, in one request
  const bool done = GENERATE(true, false);  // by the server, before the proxy answers
  bool once = false;
  const auto answer = [&](const http::ServerRequest& r) -> std::optional<http::ServerResponse> {
    const bool writes = UploadFixture::completes(r) || r.path.ends_with("/data");
    if (r.method != http::Method::post || !writes || std::exchange(once, true)) {
      return std::nullopt;
    }
    return http::ServerResponse::text(200, "<html>");
  };
  if (done) {
    f.server.lost = answer;
  } else {
    f.server.fault = answer;
  }
  const std::string bytes = pattern(2500);
  const auto item = f.upload_file(bytes);
  const bool known = done || f.server.request_max == 100;  // else another attempt sends it
  REQUIRE(item.ok() == known);
  CHECK(once);
  if (!known) {
    CHECK(item.error().kind == ErrorKind::retry);
    return;
  }
  CHECK(f.server.items.size() == 1);
  CHECK(f.server.items.at(item->id.str()).bytes == bytes);
  CHECK(f.server.items.at(item->id.str()).version == 1);
}

TEST_CASE("upload: a missing file is named", "[storage][upload]") {
  Fixture f;
  UploadOrder order;
  order.name = "n";
  order.data_type = "ply";
  order.file = f.folder.path / "none.ply";
  const auto item = f.world.run(f.world.client->upload(std::move(order)));
  REQUIRE_FALSE(item.ok());
  CHECK(item.error().kind == ErrorKind::not_found);
  CHECK_THAT(item.error().detail, Catch::Contains("none.ply"));
}

}  // namespace pn::storage
