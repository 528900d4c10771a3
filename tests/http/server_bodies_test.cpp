#include "base/awaitable.hpp"
#include "base/file.hpp"
#include "base/result.hpp"
#include "http/body.hpp"
#include "http/server.hpp"
#include "http/types.hpp"
#include "tests/http/raw_client.hpp"
#include "tests/support/test_loop.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <catch2/catch.hpp>
#include <sys/mman.h>

namespace pn::http {
namespace {

using testing::RawAnswer;
using testing::RawClient;
using testing::Served;
using testing::TestLoop;

/// Bytes 0, 1, 2 ... of unknown length or not, in small pieces.
class CountingSource final : public BodySource {
 public:
  CountingSource(std::uint64_t bytes, bool sized) : left_(bytes), size_(bytes), sized_(sized) {}
  [[nodiscard]] std::optional<std::uint64_t> size() const override {
    return sized_ ? std::optional(size_) : std::nullopt;
  }
  Awaitable<Result<std::size_t>> read(std::span<char> buffer) override {
    const auto count = static_cast<std::size_t>(
        std::min<std::uint64_t>({left_, std::uint64_t{buffer.size()}, 1000}));
    for (std::size_t i = 0; i < count; ++i)
      buffer[i] = static_cast<char>('a' + (size_ - left_ + i) % 26);
    left_ -= count;
    co_return count;
  }
  bool rewind() override { return false; }

 private:
  std::uint64_t left_;
  std::uint64_t size_;
  bool sized_;
};

/// Ends after ten bytes of the hundred it promised.
class ShortSource final : public BodySource {
 public:
  explicit ShortSource(bool sized) : sized_(sized) {}
  [[nodiscard]] std::optional<std::uint64_t> size() const override {
    return sized_ ? std::optional<std::uint64_t>(100) : std::nullopt;
  }
  Awaitable<Result<std::size_t>> read(std::span<char> buffer) override {
    if (given_) co_return Error(ErrorKind::internal, "file_io", "gone");
    given_ = true;
    std::fill_n(buffer.begin(), 10, 'x');
    co_return std::size_t{10};
  }
  bool rewind() override { return false; }

 private:
  bool sized_;
  bool given_ = false;
};

std::string counted(std::size_t bytes) {
  std::string out(bytes, '\0');
  for (std::size_t i = 0; i < bytes; ++i) out[i] = static_cast<char>('a' + i % 26);
  return out;
}

FileRange file_of(std::string_view bytes, std::uint64_t offset, std::uint64_t size) {
  FileRange out{UniqueFd(::memfd_create("posenode-test", MFD_CLOEXEC)), offset, size};
  REQUIRE(write_all(out.fd.get(), bytes).ok());
  return out;
}

/// Text, a file, text, a file: all of `bytes` but for what the last file lacks.
class FilesAmongText final : public BodySource {
 public:
  FilesAmongText(std::string bytes, bool sized, std::uint64_t lacks)
      : bytes_(std::move(bytes)), sized_(sized), lacks_(lacks) {}
  [[nodiscard]] std::optional<std::uint64_t> size() const override {
    return sized_ ? std::optional<std::uint64_t>(bytes_.size()) : std::nullopt;
  }
  Awaitable<Result<std::size_t>> read(std::span<char> buffer) override {
    if (at_ == bytes_.size()) co_return std::size_t{0};
    std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(at_), kText, buffer.begin());
    at_ += kText;
    text_ = false;
    co_return kText;
  }
  std::optional<FileRange> take_file() override {
    if (text_) return std::nullopt;
    text_ = true;
    const std::size_t end = at_ < bytes_.size() / 2 ? bytes_.size() / 2 : bytes_.size();
    const std::size_t there = end == bytes_.size() ? end - lacks_ : end;
    FileRange out = file_of(std::string_view(bytes_).substr(0, there), at_, end - at_);
    at_ = end;
    return out;
  }
  bool rewind() override { return false; }

 private:
  static constexpr std::size_t kText = 10;
  const std::string bytes_;
  const bool sized_;
  const std::uint64_t lacks_;
  std::size_t at_ = 0;
  bool text_ = true;
};

std::string get(std::string_view path, std::string_view fields = "") {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: h\r\n" + std::string(fields) + "\r\n";
}

}  // namespace

TEST_CASE("server: streamed answers, with a length and in chunks", "[http][server]") {
  TestLoop loop;
  Router router;
  router.add(Method::get, "/sized", [](ServerRequest&) -> Awaitable<ServerResponse> {
    ServerResponse out;
    out.source = std::make_unique<CountingSource>(300'000, true);
    co_return out;
  });
  router.add(Method::get, "/chunked", [](ServerRequest&) -> Awaitable<ServerResponse> {
    ServerResponse out;
    out.source = std::make_unique<CountingSource>(300'000, false);
    co_return out;
  });
  Served served(loop, std::move(router));
  RawClient client(loop, served.port());
  for (int i = 0; i < 2; ++i) {
    const RawAnswer sized = client.ask(get("/sized"));
    CHECK(sized.field("Content-Length") == "300000");
    CHECK(sized.body == counted(300'000));
    const RawAnswer pieces = client.ask(get("/chunked"));
    CHECK(pieces.field("Transfer-Encoding") == "chunked");
    CHECK(pieces.body == counted(300'000));
  }
  SECTION("HEAD has the same fields and no body") {
    client.send("HEAD /sized HTTP/1.1\r\nHost: h\r\n\r\n");
    CHECK(client.answer(RawClient::Body::none).field("Content-Length") == "300000");
    CHECK(client.ask(get("/sized")).body.size() == 300'000);
  }
  SECTION("HTTP/1.0 knows no chunks: the end of the connection ends the body") {
    client.send("GET /chunked HTTP/1.0\r\n\r\n");
    const RawAnswer old = client.answer();
    CHECK(old.field("Transfer-Encoding").empty());
    CHECK(old.body == counted(300'000));
  }
}

TEST_CASE("server: a source that fails ends the connection, so that nobody takes it for whole",
          "[http][server]") {
  TestLoop loop;
  const bool sized = GENERATE(true, false);
  Router router;
  router.add(Method::get, "/", [sized](ServerRequest&) -> Awaitable<ServerResponse> {
    ServerResponse out;
    out.source = std::make_unique<ShortSource>(sized);
    co_return out;
  });
  Served served(loop, std::move(router));
  RawClient client(loop, served.port());
  client.send(get("/"));
  CHECK_FALSE(client.answer().whole);
}

TEST_CASE("server: files among the text of a streamed answer", "[http][server]") {
  TestLoop loop;
  const bool sized = GENERATE(true, false);
  const std::string bytes = counted(9 << 20);
  Router router;
  const auto serve = [&](std::uint64_t lacks) {
    return [&, lacks](ServerRequest&) -> Awaitable<ServerResponse> {
      ServerResponse out;
      out.source = std::make_unique<FilesAmongText>(bytes, sized, lacks);
      co_return out;
    };
  };
  router.add(Method::get, "/whole", serve(0));
  router.add(Method::get, "/short", serve(1));
  Served served(loop, std::move(router));
  RawClient client(loop, served.port());
  for (int i = 0; i < 2; ++i) CHECK(client.ask(get("/whole")).body == bytes);
  client.send(get("/short"));
  CHECK_FALSE(client.answer().whole);
}

TEST_CASE("server: a range of a file", "[http][server]") {
  TestLoop loop;
  const std::string bytes = counted(6 << 20);
  Router router;
  router.add(Method::get, "/part", [&](ServerRequest&) -> Awaitable<ServerResponse> {
    ServerResponse out;
    out.status = 206;
    out.file = file_of(bytes, 10, bytes.size() - 20);
    co_return out;
  });
  router.add(Method::get, "/short", [&](ServerRequest&) -> Awaitable<ServerResponse> {
    ServerResponse out;
    out.file = file_of("abc", 0, 10);
    co_return out;
  });
  router.add(Method::get, "/empty", [&](ServerRequest&) -> Awaitable<ServerResponse> {
    ServerResponse out;
    out.file = file_of("abc", 3, 0);
    co_return out;
  });
  Served served(loop, std::move(router));
  RawClient client(loop, served.port());
  for (int i = 0; i < 2; ++i) {
    const RawAnswer answer = client.ask(get("/part"));
    CHECK(answer.status == 206);
    CHECK(answer.body == bytes.substr(10, bytes.size() - 20));
  }
  CHECK(client.ask(get("/empty")).field("Content-Length") == "0");
  client.send("HEAD /part HTTP/1.1\r\nHost: h\r\n\r\n");
  CHECK(client.answer(RawClient::Body::none).field("Content-Length") ==
        std::to_string(bytes.size() - 20));
  client.send(get("/short"));
  CHECK_FALSE(client.answer().whole);
}

}  // namespace pn::http
