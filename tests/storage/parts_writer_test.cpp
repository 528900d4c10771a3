#include "storage/parts_writer.hpp"

#include "base/ids.hpp"
#include "base/result.hpp"
#include "storage/domain_json.hpp"
#include "storage/download.hpp"
#include "tests/support/temp_folder.hpp"

#include <cstddef>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

namespace pn::storage {
namespace {

using testing::TempFolder;

std::string part(const std::string& name, const std::string& bytes) {
  return "--B\r\nContent-Disposition: form-data; name=\"" + name + "\"; data-type=\"t\"; size=\"" +
         std::to_string(bytes.size()) + "\"\r\n\r\n" + bytes + "\r\n";
}

}  // namespace

TEST_CASE("parts writer: the same files for every chunking", "[storage][parts]") {
  const std::string body = part("a", "first") + part("b", "--B--\r\n") + "--B--\r\n";
  const std::size_t chunk = GENERATE_COPY(range<std::size_t>(1, 40), values({body.size()}));
  const TempFolder folder;
  PartsWriter writer(folder.path / "in", "B");
  for (std::size_t at = 0; at < body.size(); at += chunk) {
    REQUIRE(writer.consume(std::string_view(body).substr(at, chunk)).ok());
  }
  const auto files = writer.finish();
  REQUIRE(files.ok());
  REQUIRE(files->size() == 2);
  CHECK(TempFolder::read((*files)[0].path) == "first");
  CHECK(TempFolder::read((*files)[1].path) == "--B--\r\n");
  CHECK((*files)[1].size == 7);
}

TEST_CASE("parts writer: a body cut anywhere leaves nothing", "[storage][parts]") {
  const std::string body = part("a", "first") + part("b", "second") + "--B--";
  for (std::size_t cut = 0; cut < body.size(); cut += 3) {
    const TempFolder folder;
    {
      PartsWriter writer(folder.path / "in", "B");
      REQUIRE(writer.consume(std::string_view(body).substr(0, cut)).ok());
      INFO(cut);
      CHECK_FALSE(writer.finish().ok());
    }
    CHECK(folder.listing().empty());
  }
}

TEST_CASE("parts writer: names that become one file do not overwrite", "[storage][parts]") {
  const TempFolder folder;
  PartsWriter writer(folder.path / "in", "B");
  REQUIRE(
      writer.consume(part("a b", "1") + part("a_b", "2") + part("a?b", "3") + "--B--\r\n").ok());
  const auto files = writer.finish();
  REQUIRE(files.ok());
  CHECK((*files)[0].path.filename() == "a_b.t");
  CHECK((*files)[1].path.filename() == "a_b_2.t");
  CHECK((*files)[2].path.filename() == "a_b_3.t");
  CHECK(TempFolder::read((*files)[2].path) == "3");
}

TEST_CASE("parts writer: a folder that exists is not touched", "[storage][parts]") {
  const TempFolder folder;
  folder.write("in/mine", "x");
  {
    PartsWriter writer(folder.path / "in", "B");
    CHECK_FALSE(writer.consume(part("a", "1")).ok());
  }
  CHECK(folder.listing() == std::vector<std::string>{"in", "in/mine"});
}

TEST_CASE("parts writer: an answer without a part is nothing", "[storage][parts]") {
  const TempFolder folder;
  PartsWriter writer(folder.path / "in", "B");
  REQUIRE(writer.consume("--B--\r\n").ok());
  const auto files = writer.finish();
  REQUIRE_FALSE(files.ok());
  CHECK(files.error().kind == ErrorKind::not_found);
}

TEST_CASE("download: the digest field", "[storage][parts]") {
  const std::string zeros = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
  CHECK(sha256_of_digest_field("sha-256=:" + zeros + ":") == std::string(32, '\0'));
  CHECK(sha256_of_digest_field("sha-512=:AAAA:, sha-256=:" + zeros + ":").has_value());
  CHECK_FALSE(sha256_of_digest_field("sha-256=:AAAA:"));
  CHECK_FALSE(sha256_of_digest_field("sha-256=:" + zeros));
  CHECK_FALSE(sha256_of_digest_field("sha-256=:" + zeros.substr(1) + "!:"));
  CHECK_FALSE(sha256_of_digest_field("md5=:AAAA:"));
  CHECK_FALSE(sha256_of_digest_field(""));
}

TEST_CASE("domain json: limits of old and new servers", "[storage][json]") {
  const auto limits = parse_limits(
      R"({"upload":{"request_max_bytes":104857600,"multipart":{"enabled":true,"x":1}},"y":2})");
  REQUIRE(limits.ok());
  CHECK(limits->request_max_bytes == 104857600U);
  CHECK(limits->multipart);
  CHECK(*parse_limits("{}") == UploadLimits{});
  CHECK(*parse_limits(R"({"upload":{"request_max_bytes":null,"multipart":null}})") ==
        UploadLimits{});
  CHECK_FALSE(parse_limits(R"({"upload":7})").ok());
  CHECK_FALSE(parse_limits("").ok());
}

TEST_CASE("domain json: metadata", "[storage][json]") {
  const auto item = parse_item(
      R"({"id":"i","domain_id":"d","name":"n","data_type":"t","size":5,"created_at":null,"more":{}})");
  REQUIRE(item.ok());
  CHECK(*item == DataItem{DataId("i"), "n", "t", 5, "", ""});
  CHECK_FALSE(parse_item(R"({"name":"n"})").ok());
  CHECK_FALSE(parse_item(R"({"id":"i","size":-1})").ok());
  CHECK_FALSE(parse_item(R"({"id":"i","size":"5"})").ok());
  CHECK(parse_items(R"({"data":null})")->empty());
  CHECK_FALSE(parse_items(R"({"data":[7]})").ok());
  CHECK(
      initiate_body("n", "t", 5, DataId("i")) ==
      R"({"content_type":"application/octet-stream","data_type":"t","existing_id":"i","name":"n","size":5})");
}

}  // namespace pn::storage
