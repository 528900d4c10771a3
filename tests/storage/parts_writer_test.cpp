#include "storage/parts_writer.hpp"

#include "base/ids.hpp"
#include "base/result.hpp"
#include "storage/domain_json.hpp"
#include "storage/download_folder.hpp"
#include "storage/input_budget.hpp"
#include "storage/listing.hpp"
#include "tests/support/temp_folder.hpp"

#include <cstddef>
#include <cstdint>
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

struct Writing {
  explicit Writing(const TempFolder& in, std::uint64_t most = 1'000'000)
      : folder(in.path / "in", {}), budget(most), writer(folder, list, budget, {}, framing()) {}
  static PartsWriter::Framing framing() {
    PartsWriter::Framing out;
    out.boundary = "B";
    return out;
  }
  DownloadFolder folder;
  Listing list;
  InputBudget budget;
  PartsWriter writer;
};

}  // namespace

TEST_CASE("parts writer: the same files for every chunking", "[storage][parts]") {
  const std::string body = part("a", "first") + part("b", "--B--\r\n") + "--B--\r\n";
  const std::size_t chunk = GENERATE_COPY(range<std::size_t>(1, 40), values({body.size()}));
  const TempFolder folder;
  Writing w(folder);
  for (std::size_t at = 0; at < body.size(); at += chunk) {
    REQUIRE(w.writer.consume(std::string_view(body).substr(at, chunk)).ok());
  }
  REQUIRE(w.writer.finish().ok());
  const auto parts = w.writer.take_parts();
  REQUIRE(parts.size() == 2);
  CHECK(TempFolder::read(parts[0].file.path) == "first");
  CHECK(TempFolder::read(parts[1].file.path) == "--B--\r\n");
  CHECK(parts[1].file.size == 7);
  CHECK_FALSE(w.writer.take_half());
}

TEST_CASE("parts writer: of a body cut anywhere only whole parts have their names",
          "[storage][parts]") {
  const std::string a = part("a", "first");
  const std::string b = part("b", "second");
  const std::string body = a + b + "--B--";
  for (std::size_t cut = 0; cut < body.size(); ++cut) {
    INFO(cut);
    const TempFolder folder;
    {
      Writing w(folder);
      REQUIRE(w.writer.consume(std::string_view(body).substr(0, cut)).ok());
      CHECK(w.writer.finish().error().code == "multipart_truncated");
      const auto parts = w.writer.take_parts();
      const auto half = w.writer.take_half();
      for (const auto& one : parts) {
        CHECK(TempFolder::read(one.file.path).size() == one.file.size);
      }
      if (half) CHECK(half->bytes.size() <= half->part.file.size);
      std::size_t named = 0;
      for (const std::string& path : folder.listing()) named += path.ends_with(".t") ? 1U : 0U;
      CHECK(named == parts.size());
    }
    CHECK(folder.listing().empty());
  }
}

TEST_CASE("parts writer: names that become one file do not overwrite", "[storage][parts]") {
  const TempFolder folder;
  Writing w(folder);
  REQUIRE(
      w.writer.consume(part("a b", "1") + part("a_b", "2") + part("a?b", "3") + "--B--\r\n").ok());
  REQUIRE(w.writer.finish().ok());
  const auto parts = w.writer.take_parts();
  CHECK(parts[0].file.path.filename() == "a_b.t");
  CHECK(parts[1].file.path.filename() == "a_b_2.t");
  CHECK(parts[2].file.path.filename() == "a_b_3.t");
  CHECK(TempFolder::read(parts[2].file.path) == "3");
}

TEST_CASE("parts writer: nor do long ones, whose number takes the place of their end",
          "[storage][parts]") {
  const TempFolder folder;
  Writing w(folder);
  const std::string name(300, 'n');
  for (int i = 0; i < 11; ++i) {
    REQUIRE(w.writer.consume(part(name, std::to_string(i))).ok());
  }
  REQUIRE(w.writer.consume("--B--\r\n").ok());
  REQUIRE(w.writer.finish().ok());
  const auto parts = w.writer.take_parts();
  REQUIRE(parts.size() == 11);
  CHECK(parts[0].file.path.filename() == std::string(253, 'n') + ".t");
  CHECK(parts[1].file.path.filename() == std::string(251, 'n') + "_2.t");
  CHECK(parts[10].file.path.filename() == std::string(250, 'n') + "_11.t");
  CHECK(TempFolder::read(parts[10].file.path) == "10");
}

TEST_CASE("parts writer: many small files are there once the answer is", "[storage][parts]") {
  const TempFolder folder;
  Writing w(folder);
  for (int i = 0; i < 600; ++i) {
    REQUIRE(w.writer.consume(part("n" + std::to_string(i), std::to_string(i))).ok());
  }
  REQUIRE(w.writer.consume("--B--\r\n").ok());
  REQUIRE(w.writer.finish().ok());
  const auto parts = w.writer.take_parts();
  REQUIRE(parts.size() == 600);
  for (int i = 0; i < 600; ++i) {
    CHECK(TempFolder::read(parts[static_cast<std::size_t>(i)].file.path) == std::to_string(i));
  }
}

TEST_CASE("parts writer: a folder that exists is not touched", "[storage][parts]") {
  const TempFolder folder;
  folder.write("in/mine", "x");
  {
    Writing w(folder);
    CHECK_FALSE(w.writer.consume(part("a", "1")).ok());
  }
  CHECK(folder.listing() == std::vector<std::string>{"in", "in/mine"});
}

TEST_CASE("parts writer: an answer without a part is nothing", "[storage][parts]") {
  const TempFolder folder;
  Writing w(folder);
  REQUIRE(w.writer.consume("--B--\r\n").ok());
  CHECK(w.writer.finish().error().kind == ErrorKind::not_found);
}

TEST_CASE("parts writer: what passes the limit is refused before it is written",
          "[storage][parts]") {
  const TempFolder folder;
  Writing w(folder, 9);
  REQUIRE(w.writer.consume(part("a", "12345")).ok());
  const auto refused = w.writer.consume(part("b", "12345"));
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().kind == ErrorKind::full);
  CHECK(refused.error().code == "task_disk_full");
  CHECK(w.writer.take_reserved() == 5);
  CHECK(w.writer.take_reserved() == 0);
  CHECK(w.budget.reserve(4).ok());
  CHECK_FALSE(w.budget.reserve(1).ok());
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
