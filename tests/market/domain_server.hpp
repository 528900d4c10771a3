#pragma once

#include "market/data_service.hpp"
#include "market/data_store.hpp"
#include "market/file_blobs.hpp"
#include "market/sqlite.hpp"
#include "tests/http/raw_client.hpp"
#include "tests/support/fake_rng.hpp"
#include "tests/support/temp_folder.hpp"
#include "tests/support/test_loop.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <unistd.h>

namespace pn::market {

/// What a disk still takes; far more than any test writes unless a test says so.
struct Disk {
  std::uint64_t left = std::uint64_t{1} << 50U;
  std::size_t strays = 0;  ///< listed beside each settled blob, so that the look at them takes long
  bool listed = false;     ///< a settled blob was
};

/// A writer whose disk runs full.
class FullWriter final : public BlobWriter {
 public:
  FullWriter(std::unique_ptr<BlobWriter> inner, Disk& disk)
      : inner_(std::move(inner)), disk_(disk) {}
  Awaitable<Result<void>> write(std::string_view bytes) override {
    if (bytes.size() > disk_.left) {
      co_return Error(ErrorKind::full, "disk_full", "cannot write posenode-test: no space");
    }
    disk_.left -= bytes.size();
    Result<void> written = co_await inner_->write(bytes);
    co_return written;
  }
  Awaitable<Result<StoredBlob>> finish() override { return inner_->finish(); }

 private:
  std::unique_ptr<BlobWriter> inner_;
  Disk& disk_;
};

/// Forwards to the files, but for the disk that runs full.
class TestBlobs final : public BlobStore {
 public:
  TestBlobs(FileBlobs& inner, Disk& disk) : inner_(inner), disk_(disk) {}
  std::unique_ptr<BlobWriter> create() override {
    return std::make_unique<FullWriter>(inner_.create(), disk_);
  }
  std::unique_ptr<BlobWriter> write_part(BlobId upload, std::uint64_t offset) override {
    return std::make_unique<FullWriter>(inner_.write_part(std::move(upload), offset), disk_);
  }
  Awaitable<Result<StoredBlob>> complete(BlobId upload, std::uint64_t size) override {
    return inner_.complete(std::move(upload), size);
  }
  Awaitable<Result<BlobBody>> open(BlobId id, std::uint64_t offset, std::uint64_t size) override {
    return inner_.open(std::move(id), offset, size);
  }
  void discard(const BlobId& id) override { inner_.discard(id); }
  Awaitable<Result<std::vector<BlobId>>> settled(unsigned shard, SystemTime before) override {
    Result<std::vector<BlobId>> found = co_await inner_.settled(shard, before);
    if (!found || found->empty()) co_return found;
    disk_.listed = true;
    for (std::size_t i = 0; i < disk_.strays; ++i) {
      found->emplace_back("no-blob-" + std::to_string(i));
    }
    co_return found;
  }

 private:
  FileBlobs& inner_;
  Disk& disk_;
};

/// A domain server on a free port, over a database and files of its own.
class DomainServer {
 public:
  DomainServer() : folder_("posenode-", home()) {
    auto database = Database::open(folder_.path / "m.sqlite", loop.clock, {});
    REQUIRE(database.ok());
    database_ = std::move(*database);
    const std::function<Result<void>(soci::session&)> domains =
        [](soci::session& session) -> Result<void> {
      execute(session,
              "INSERT INTO domain_servers VALUES('s', 'o', 'main', 'http://market.test');"
              "INSERT INTO domains(id, name, organization_id, domain_server_id, created_ms)"
              " VALUES('d-1', 'one', 'o', 's', 0), ('d-2', 'two', 'o', 's', 0)");
      return {};
    };
    REQUIRE(database_->write_now<void>(domains).ok());
    auto blobs = FileBlobs::open(folder_.path / "blobs", pool_, rng);
    REQUIRE(blobs.ok());
    files_ = std::move(*blobs);
    blobs_ = std::make_unique<TestBlobs>(*files_, disk);
    service_ =
        std::make_unique<DataService>(DataParts{loop.clock, rng, {}, *database_, tokens, *blobs_});
    http::Router router;
    add_data_routes(router, *service_);
    served_ = std::make_unique<testing::Served>(loop, std::move(router));
  }
  ~DomainServer() {
    served_.reset();
    service_.reset();
    settle_files();
  }
  DomainServer(const DomainServer&) = delete;
  DomainServer& operator=(const DomainServer&) = delete;

  testing::TestLoop loop;
  testing::FakeRng rng;
  auth::SigningKey key = auth::SigningKey::generate();
  Tokens tokens{key, loop.clock, rng, "http://market.test"};
  Disk disk;

  [[nodiscard]] std::string task_token(std::string_view of = "d-1") {
    return tokens
        .mint_task(TaskId("t"),
                   LeaseId(),
                   NodeId("n"),
                   OrganizationId("o"),
                   DomainId(std::string(of)),
                   std::chrono::hours(1000))
        .text;
  }

  [[nodiscard]] testing::RawClient connect() { return {loop, served_->port()}; }

  /// One request on a connection of its own. `path` is what follows the domain.
  testing::RawAnswer ask(std::string_view method,
                         std::string_view path,
                         std::string_view body = "",
                         std::string_view fields = "") {
    testing::RawClient client = connect();
    client.try_send(request(method, path, body, fields));
    return client.answer(method == "HEAD" ? testing::RawClient::Body::none
                                          : testing::RawClient::Body::expected);
  }

  std::string request(std::string_view method,
                      std::string_view path,
                      std::string_view body = "",
                      std::string_view fields = "") {
    std::string out(method);
    out.append(" /api/v1/domains/d-1").append(path).append(" HTTP/1.1\r\nHost: h\r\n");
    if (token_.empty()) token_ = task_token();
    if (fields.find("Authorization") == std::string_view::npos) {
      out.append("Authorization: Bearer ").append(token_).append("\r\n");
    }
    if (method != "GET" && method != "HEAD") {
      out.append("Content-Length: ").append(std::to_string(body.size())).append("\r\n");
    }
    return out.append(fields).append("\r\n").append(body);
  }

  /// As the public node sends it: the boundary is the word "boundary", parts say no size.
  static std::string form_part(std::string_view disposition, std::string_view payload) {
    std::string out = "--boundary\r\nContent-Type: application/octet-stream\r\n";
    out.append("Content-Disposition: form-data; ").append(disposition).append("\r\n\r\n");
    return out.append(payload).append("\r\n");
  }
  static constexpr std::string_view kFormEnd = "--boundary--\r\n";
  static constexpr std::string_view kFormType =
      "Content-Type: multipart/form-data; boundary=boundary\r\n";

  testing::RawAnswer put_form(std::string_view method, const std::string& parts) {
    return ask(method, "/data", parts + std::string(kFormEnd), kFormType);
  }
  /// Creates one record and answers its id.
  std::string create(std::string_view name, std::string_view type, std::string_view payload) {
    const std::string disposition =
        "name=\"" + std::string(name) + "\"; data-type=\"" + std::string(type) + "\"";
    const testing::RawAnswer answer = put_form("POST", form_part(disposition, payload));
    INFO(answer.body);
    REQUIRE(answer.status == 200);
    return Json::parse(answer.body)["data"][0]["id"];
  }

  /// Blobs, uploads and temporary files on the disk, after what was discarded is gone.
  std::size_t files() {
    settle_files();
    std::size_t count = 0;
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(folder_.path / "blobs")) {
      if (entry.is_regular_file()) ++count;
    }
    return count;
  }

  [[nodiscard]] DataService& service() { return *service_; }
  [[nodiscard]] Database& database() { return *database_; }
  [[nodiscard]] const std::filesystem::path& folder() const { return folder_.path; }

 private:
  static std::filesystem::path home() {
    // Every blob is synced; where there is a file system in memory that costs nothing.
    const std::filesystem::path shm("/dev/shm");
    const bool usable = std::filesystem::is_directory(shm) && ::access(shm.c_str(), W_OK) == 0;
    return usable ? shm : std::filesystem::temp_directory_path();
  }
  /// The pool has one thread: what is asked of it now runs after all that was.
  void settle_files() {
    loop.run([](ThreadPool& pool) -> Awaitable<void> {
      const auto nothing = [] {};
      co_await offload(pool, nothing);
    }(pool_));
  }

  const pn::testing::TempFolder folder_;
  ThreadPool pool_{"test-files", 1};
  std::unique_ptr<Database> database_;
  std::unique_ptr<FileBlobs> files_;
  std::unique_ptr<TestBlobs> blobs_;
  std::unique_ptr<DataService> service_;
  std::unique_ptr<testing::Served> served_;
  std::string token_;
};

}  // namespace pn::market
