#include "base/result.hpp"
#include "http/multipart.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// First byte: how the input is cut into pieces. First line: the boundary. The rest: a body, and the
// values and payload of a part that is written and read back.
namespace pn::http {
namespace {

using fuzz::require;
using Delimit = MultipartReader::Delimit;
using What = MultipartReader::What;

struct Part {
  std::map<std::string, std::string, std::less<>> disposition;
  std::string content_type;
  std::string data{};
  bool ended = false;

  friend bool operator==(const Part&, const Part&) = default;
};

/// All that a reader said of one body.
struct Heard {
  std::vector<Part> parts;
  bool ended = false;
  std::string error;

  friend bool operator==(const Heard&, const Heard&) = default;
};

/// Pieces of `length` bytes, or of lengths that `length` is the seed of when it is 0.
class Pieces final {
 public:
  Pieces(std::string_view body, unsigned length) : body_(body), length_(length) {}
  [[nodiscard]] bool done() const { return body_.empty(); }
  std::string_view next() {
    std::size_t count = length_;
    if (length_ == 0) {
      state_ = state_ * 1664525U + 1013904223U;
      count = 1 + (state_ >> 24U) % 19;
    }
    const std::string_view out = body_.substr(0, count);
    body_.remove_prefix(out.size());
    return out;
  }

 private:
  std::string_view body_;
  unsigned length_;
  std::uint32_t state_ = 1;
};

Heard hear(const std::string& boundary, Delimit how, std::string_view body, unsigned length) {
  MultipartReader reader(boundary, how);
  Heard out;
  Pieces pieces(body, length);
  std::size_t events = 0;
  for (;;) {
    const Result<MultipartReader::Event> event = reader.next();
    require(++events <= 8 * body.size() + 16, "a reader comes to an end");
    if (!event.ok()) {
      out.error = event.error().code;
      require(event.error().kind == ErrorKind::corrupt, "what is wrong with a body is its own");
      require(!reader.next().ok() && !reader.finish().ok(), "an error stays");
      return out;
    }
    switch (event->what) {
      case What::part:
        out.parts.push_back(
            {.disposition = reader.part().disposition, .content_type = reader.part().content_type});
        break;
      case What::data:
        require(!out.parts.empty() && !out.parts.back().ended, "data is of a part");
        require(!event->data.empty(), "data is not empty");
        out.parts.back().data += event->data;
        break;
      case What::part_end:
        require(!out.parts.empty() && !out.parts.back().ended, "a part ends once");
        out.parts.back().ended = true;
        break;
      case What::end:
        out.ended = true;
        [[fallthrough]];
      case What::need_input:
        if (out.ended || pieces.done()) {
          require(reader.finish().ok() == out.ended, "a body is whole when its end was seen");
          return out;
        }
        reader.feed(pieces.next());
    }
  }
}

void check_sizes(const Heard& heard, std::string_view body) {
  std::size_t payload = 0;
  for (const Part& part : heard.parts) {
    payload += part.data.size();
    PartHeader header;
    header.disposition = part.disposition;
    const Result<std::optional<std::uint64_t>> size = header.size();
    require(size.ok() && size->has_value(), "by size, each part has one");
    require(part.data.size() <= **size, "no more comes than a part's size");
    require(!part.ended || part.data.size() == **size, "a part that ended has its size");
  }
  require(payload <= body.size(), "a reader makes nothing up");
}

/// What may stand in a header's line.
std::string one_line(std::string_view text) {
  std::string out;
  std::ranges::copy_if(
      text, std::back_inserter(out), [](char c) { return c != '\r' && c != '\n' && c != '\0'; });
  return out;
}

void check_written(std::string_view text, unsigned length) {
  const std::string boundary = "posenode-1f0c";
  const std::size_t third = text.size() / 3;
  const std::string name = one_line(text.substr(0, third).substr(0, 6000));
  const std::string id = one_line(text.substr(third, third).substr(0, 1000));
  const std::string_view payload = text.substr(2 * third);
  const std::string body =
      part_head(boundary,
                "application/octet-stream",
                {{"name", name}, {"id", id}, {"size", std::to_string(payload.size())}}) +
      std::string(payload) + "\r\n" + closing_delimiter(boundary);
  for (const Delimit how : {Delimit::by_size, Delimit::by_boundary}) {
    if (how == Delimit::by_boundary && payload.find("--" + boundary) != std::string_view::npos) {
      continue;
    }
    const Heard heard = hear(boundary, how, body, length);
    require(heard.ended && heard.parts.size() == 1, "what we write is read back");
    const Part& part = heard.parts.front();
    require(part.disposition.at("name") == name && part.disposition.at("id") == id,
            "values are read back");
    require(part.data == payload, "a payload is read back");
  }
}

}  // namespace
}  // namespace pn::http

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace pn::http;
  pn::fuzz::Input input(data, size);
  const unsigned length = input.byte() % 32;
  const auto boundary =
      MultipartReader::boundary_of("multipart/form-data; boundary=" + std::string(input.line()));
  const std::string_view body = input.rest();
  if (boundary.ok()) {
    for (const Delimit how : {Delimit::by_size, Delimit::by_boundary}) {
      const Heard whole = hear(*boundary, how, body, static_cast<unsigned>(body.size() + 1));
      pn::fuzz::require(whole == hear(*boundary, how, body, length), "pieces make no difference");
      // What single bytes do, short bodies show: of long ones they would take most of the time.
      pn::fuzz::require(body.size() > 1024 || whole == hear(*boundary, how, body, 1),
                        "single bytes make no difference");
      if (how == Delimit::by_size) check_sizes(whole, body);
    }
  }
  check_written(body, length);
  return 0;
}
