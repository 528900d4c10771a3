#pragma once

#include "storage/domain_client.hpp"
#include "tests/storage/domain_world.hpp"
#include "tests/storage/fake_domain_server.hpp"
#include "tests/storage/memory_upload_journal.hpp"
#include "tests/support/temp_folder.hpp"
#include "tests/support/test_loop.hpp"

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

namespace pn::storage::testing {

using pn::testing::DomainWorld;
using pn::testing::FakeDomainServer;
using pn::testing::MemoryUploadJournal;
using pn::testing::Started;
using pn::testing::TempFolder;
using pn::testing::TestLoop;

/// Bytes of which no two parts are alike.
inline std::string pattern(std::size_t size, std::size_t seed = 0) {
  std::string out(size, '\0');
  for (std::size_t i = 0; i < size; ++i) {
    out[i] = static_cast<char>((i + seed) * 131 / 7 + (i + seed) / 1000 * 17);
  }
  return out;
}

/// A server that wants everything above 100 bytes in parts of 1000, and the lives of a client.
struct UploadFixture {
  TestLoop loop;
  FakeDomainServer server{loop};
  MemoryUploadJournal journal;
  TempFolder folder;
  pn::testing::UploadSettings settings{.parallel = 4, .journal = &journal};

  UploadFixture() { server.request_max = 100; }

  [[nodiscard]] std::unique_ptr<DomainWorld> life(std::vector<std::string> tokens = {"t1"}) {
    return std::make_unique<DomainWorld>(loop, server.url(), std::move(tokens), settings);
  }
  UploadOrder order(const std::string& bytes) {
    UploadOrder out;
    out.name = "n";
    out.data_type = "ply";
    out.file = folder.write("file", bytes);
    return out;
  }
  /// A life of its own that uploads to the end.
  Result<DataItem> upload(const std::string& bytes) {
    const auto world = life();
    return world->run(world->client->upload(order(bytes)));
  }
  /// A life that is cancelled once `when` holds, which is asked after each request.
  void cut_short(const std::string& bytes, std::function<bool()> when) {
    const auto world = life();
    std::unique_ptr<Started> started;
    server.served = [&](const http::ServerRequest&) {
      if (when()) started->cancel();
    };
    started = std::make_unique<Started>(loop, ignore(world->client->upload(order(bytes))));
    until([&] { return started->done(); });
    server.served = nullptr;
  }
  void until(const std::function<bool()>& done) { REQUIRE(loop.run_until(done)); }
  [[nodiscard]] int parts_sent() const { return server.count("PUT /data/multipart"); }
  [[nodiscard]] int aborts() const { return server.count("DELETE /data/multipart"); }
  /// The bytes of the one record.
  [[nodiscard]] std::string stored() const {
    return server.items.size() == 1 ? server.items.begin()->second.bytes : "not one record";
  }

  static bool is_part(const http::ServerRequest& request, const char* number) {
    return request.method == http::Method::put && request.query_value("partNumber") == number;
  }
  static bool completes(const http::ServerRequest& request) {
    return request.method == http::Method::post && request.has_query("uploadId");
  }

 private:
  static Awaitable<void> ignore(Awaitable<Result<DataItem>> op) {
    const Result<DataItem> item = co_await std::move(op);
    static_cast<void>(item);
  }
};

}  // namespace pn::storage::testing
