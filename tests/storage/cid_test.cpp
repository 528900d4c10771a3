#include "storage/cid.hpp"

#include "base/ids.hpp"
#include "base/result.hpp"
#include "http/url.hpp"
#include "storage/naming.hpp"

#include <string>

#include <catch2/catch.hpp>

namespace pn::storage {
namespace {

const char* const kId = "123e4567-e89b-12d3-a456-426614174000";

Result<DataQuery> parse(const std::string& cid, const char* server = "https://ds.example.org") {
  return parse_cid(Cid(cid), *http::Url::parse(server), DomainId("dom-1"));
}

}  // namespace

TEST_CASE("cid: a name is what an upload may be called", "[storage][cid]") {
  const auto [text, sound] = GENERATE(table<std::string, bool>({
      {"scan.jpg", true},
      {std::string(128, 'n'), true},
      {std::string(129, 'n'), false},
      {"two\nlines", false},
      {std::string("nul\0", 4), false},
  }));
  INFO(text);
  const Result<http::Url> server = http::Url::parse("https://ds.example");
  CHECK(is_data_name(text) == sound);
  CHECK(check_name("name", text).ok() == sound);
  CHECK(parse_cid(Cid(text), *server, DomainId("d")).ok() == sound);
}

TEST_CASE("cid: what a UUID is", "[storage][cid]") {
  CHECK(is_uuid("0b0e7a52-9C1d-4f6a-8a7e-1f2e3d4c5b6a"));
  CHECK_FALSE(is_uuid("0b0e7a52-9c1d-4f6a-8a7e-1f2e3d4c5b6"));
  CHECK_FALSE(is_uuid("0b0e7a5209c1d-4f6a-8a7e-1f2e3d4c5b6a"));
  CHECK_FALSE(is_uuid("gb0e7a52-9c1d-4f6a-8a7e-1f2e3d4c5b6a"));
}

TEST_CASE("cid: every form of one item", "[storage][cid]") {
  const std::string form =
      GENERATE(as<std::string>(),
               "{id}",
               "https://ds.example.org/api/v1/domains/dom-1/data/{id}",
               "https://DS.example.org:443/api/v1/domains/dom-1/data/{id}",
               "https://ds.example.org/api/v1/domains/dom-1/data/{id}/",
               "https://ds.example.org/api/v1/domains/dom%2D1/data/{id}?raw=true",
               "/api/v1/domains/dom-1/data/{id}",
               "/api/v1/domains/dom-1/data?ids={id}",
               "https://ds.example.org/api/v1/domains/dom-1/data?ids={id}");
  std::string cid = form;
  cid.replace(cid.find("{id}"), 4, kId);
  INFO(cid);
  const Result<DataQuery> query = parse(cid);
  REQUIRE(query.ok());
  DataQuery expected;
  expected.ids = {DataId(kId)};
  CHECK(*query == expected);
}

TEST_CASE("cid: names and lists", "[storage][cid]") {
  DataQuery expected;
  SECTION("a bare name") {
    expected.name = "refined scan 7";
    CHECK(*parse("refined scan 7") == expected);
  }
  SECTION("name and type") {
    expected.name = "a&b";
    expected.data_type = "dmt_manifest_json";
    CHECK(*parse("/api/v1/domains/dom-1/data?name=a%26b&data_type=dmt_manifest_json") == expected);
  }
  SECTION("several ids") {
    expected.ids = {DataId("x"), DataId("y"), DataId("z")};
    CHECK(*parse("/api/v1/domains/dom-1/data?ids=x,y&ids=z,") == expected);
  }
}

TEST_CASE("cid: a server with a path prefix", "[storage][cid]") {
  const char* const server = "https://ds.example.org/eu/";
  CHECK(parse("/eu/api/v1/domains/dom-1/data/x", server).ok());
  CHECK(parse("/api/v1/domains/dom-1/data/x", server).ok());
  CHECK(parse("https://ds.example.org/eu/api/v1/domains/dom-1/data/x", server).ok());
  CHECK_FALSE(parse("/us/api/v1/domains/dom-1/data/x", server).ok());
}

TEST_CASE("cid: the token goes nowhere else", "[storage][cid]") {
  const char* const cid = GENERATE("https://evil.example.org/api/v1/domains/dom-1/data/x",
                                   "http://ds.example.org/api/v1/domains/dom-1/data/x",
                                   "https://ds.example.org:8443/api/v1/domains/dom-1/data/x",
                                   "https://ds.example.org/api/v1/domains/dom-2/data/x",
                                   "/api/v1/domains/dom-2/data/x",
                                   "/api/v1/domains/DOM-1/data/x");
  const Result<DataQuery> query = parse(cid);
  INFO(cid);
  REQUIRE_FALSE(query.ok());
  CHECK(query.error().kind == ErrorKind::rejected);
  CHECK(query.error().code == "cid_elsewhere");
}

TEST_CASE("cid: what names nothing is refused", "[storage][cid]") {
  const std::string cid = GENERATE(as<std::string>(),
                                   "",
                                   "a/b",
                                   "ftp://ds.example.org/x",
                                   "https://user@ds.example.org/api/v1/domains/dom-1/data/x",
                                   "https://ds.example.org/",
                                   "/api/v1/domains/dom-1/lighthouses/x",
                                   "/api/v1/domains/dom-1/database",
                                   "/api/v1/domains/dom-1/data/",
                                   "/api/v1/domains/dom-1/data/x/y",
                                   "/api/v1/domains/dom-1/data/x%2Fy",
                                   "/api/v1/domains/dom-1/data/x%2Cy",
                                   "/api/v1/domains/dom-1/data?data_type=x",
                                   "/api/v1/domains/dom-1/data?name=a%2Fb",
                                   "//ds.example.org/api/v1/domains/dom-1/data/x",
                                   std::string(129, 'n'));
  const Result<DataQuery> query = parse(cid);
  INFO(cid);
  REQUIRE_FALSE(query.ok());
  CHECK(query.error().kind == ErrorKind::rejected);
  CHECK(query.error().code == "cid_syntax");
}

}  // namespace pn::storage
