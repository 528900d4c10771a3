#include "base/json.hpp"

#include <vector>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

namespace pn {

TEST_CASE("json: text from outside never throws", "[base]") {
  CHECK_FALSE(parse_json("").ok());
  CHECK_FALSE(parse_json("{").ok());
  CHECK_FALSE(parse_json("{} x").ok());
  CHECK_FALSE(parse_json(std::string(100'000, '[')).ok());
  CHECK(parse_json(R"({"a":"[[[[{\""})").ok());
}

TEST_CASE("json: fields, absence and null are the same, the first fault is kept", "[base]") {
  const Json object = *parse_json(
      R"({"s":"x","n":null,"i":3,"d":1.5,"b":true,"l":["a"],"t":"2026-11-20T10:00:00Z"})");
  JsonFields fields(object, "thing");
  CHECK(fields.string("s") == "x");
  CHECK_FALSE(fields.string("n"));
  CHECK_FALSE(fields.string("absent"));
  CHECK(fields.integer("i") == 3);
  CHECK(fields.number("i") == 3.0);
  CHECK(fields.number("d") == 1.5);
  CHECK(fields.boolean("b") == true);
  CHECK(fields.strings("l") == std::vector<std::string>{"a"});
  CHECK(fields.time("t").has_value());
  CHECK(fields.done().ok());
  CHECK_FALSE(fields.integer("d"));
  CHECK(fields.need_string("n").empty());
  REQUIRE_FALSE(fields.done().ok());
  CHECK(fields.done().error().detail == "thing: \"d\" is not a whole number");
}

TEST_CASE("json: unknown keys are named", "[base]") {
  const Json object = *parse_json(R"({"a":1,"zz":2})");
  JsonFields fields(object, "meta");
  fields.only({"a", "b"});
  REQUIRE_FALSE(fields.done().ok());
  CHECK(fields.done().error().detail == "meta: unknown key zz (known: a, b)");
}

TEST_CASE("json: a whole number beyond 63 bits is a fault, not another number", "[base]") {
  const Json object = *parse_json(R"({"i":18446744073709551615})");
  JsonFields fields(object, "thing");
  CHECK_FALSE(fields.integer("i"));
  CHECK_FALSE(fields.done().ok());
}

}  // namespace pn
