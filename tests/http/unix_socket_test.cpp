#include "http/unix_socket.hpp"

#include "base/awaitable.hpp"
#include "base/result.hpp"
#include "http/client.hpp"
#include "http/server.hpp"
#include "http/types.hpp"
#include "http/url.hpp"
#include "tests/http/raw_client.hpp"
#include "tests/support/temp_folder.hpp"
#include "tests/support/test_loop.hpp"

#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include <catch2/catch.hpp>
#include <sys/stat.h>

namespace pn::http {
namespace {

namespace fs = std::filesystem;
using testing::Served;
using testing::TempFolder;
using testing::TestLoop;

Awaitable<ServerResponse> who(ServerRequest& request) {
  co_return ServerResponse::text(200, request.remote);
}

Router routes() {
  Router router;
  router.add(Method::get, "/who", who);
  return router;
}

ServerOptions at(const fs::path& path) {
  ServerOptions out;
  out.unix_socket = path;
  return out;
}

Result<Response> ask(TestLoop& loop, const fs::path& path) {
  const Result<UnixPath> near = UnixPath::of(path);
  REQUIRE(near);
  ClientOptions options;
  options.unix_socket = near->str();
  std::unique_ptr<HttpClient> client = *make_http_client(loop.executor(), std::move(options));
  Request request(Url::parse("http://localhost/who").value());
  return loop.run(client->send(std::move(request)));
}

}  // namespace

TEST_CASE("unix socket: a server is asked at a path, however long", "[http][server][unix]") {
  const int folders = GENERATE(0, 5);
  const TempFolder folder;
  fs::path deep = folder.path;
  for (int i = 0; i < folders; ++i) deep /= std::string(40, 'd');
  fs::create_directories(deep);
  const fs::path path = deep / "control.sock";
  TestLoop loop;
  {
    const Served served(loop, routes(), at(path));
    struct stat found{};
    REQUIRE(::stat(path.c_str(), &found) == 0);
    CHECK(S_ISSOCK(found.st_mode));
    CHECK((found.st_mode & 0777U) == 0600);
    const Result<Response> answer = ask(loop, path);
    REQUIRE(answer);
    CHECK(answer->status == 200);
    CHECK(answer->body == "unix");
  }
  CHECK_FALSE(fs::exists(path));
  // Nobody listens, and what a killed process left is in nobody's way.
  folder.write("elsewhere", "");
  fs::rename(folder.path / "elsewhere", path);
  const Result<Response> gone = ask(loop, path);
  REQUIRE_FALSE(gone);
  CHECK(gone.error().code == "curl_connect");
  const Served again(loop, routes(), at(path));
  CHECK(ask(loop, path).ok());
}

TEST_CASE("unix socket: what cannot be made says why", "[http][server][unix]") {
  const TempFolder folder;
  TestLoop loop;
  fs::path path = folder.path / "missing" / "control.sock";
  SECTION("no folder") {}
  SECTION("no folder, and far down") {
    path = folder.path / std::string(100, 'd') / std::string(100, 'd') / "control.sock";
  }
  const auto server = Server::listen(loop.executor(), loop.clock, {}, at(path), routes());
  REQUIRE_FALSE(server);
  CHECK(server.error().kind == ErrorKind::not_found);
}

TEST_CASE("unix socket: a name that is too long by itself is refused", "[http][unix]") {
  const Result<UnixPath> path = UnixPath::of("/tmp/" + std::string(108, 'n'));
  REQUIRE_FALSE(path);
  CHECK(path.error().code == "socket_path");
}

}  // namespace pn::http
