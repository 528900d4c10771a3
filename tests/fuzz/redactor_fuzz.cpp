#include "base/encoding.hpp"
#include "base/redactor.hpp"
#include "base/redactor_shapes.hpp"
#include "base/secret.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

// First byte: where in the text the secret stands. First line: the secret. The rest: a text.
namespace pn {
namespace {

using fuzz::require;

/// What could be made up of "[redacted]" and what stands beside it is no secret to look for.
bool usable(std::string_view secret) {
  return secret.size() >= 6 && secret.size() <= 128 && std::ranges::all_of(secret, [](char c) {
           return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
         });
}

void check_kept(std::string_view secret, std::string_view text, unsigned where) {
  Redactor redactor;
  redactor.keep(Secret<std::string>(std::string(secret)));
  const std::size_t at = text.empty() ? 0 : where * text.size() / 255;
  for (const std::string& form : {std::string(secret), percent_encode(secret), to_base64(secret)}) {
    std::string said(text.substr(0, at));
    said += form;
    said += text.substr(at);
    const std::string clean = redactor.clean(said);
    require(clean.find(secret) == std::string::npos, "a secret is taken out");
    require(clean.find(form) == std::string::npos, "in each of its forms");
  }
}

}  // namespace
}  // namespace pn

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace pn;
  fuzz::Input input(data, size);
  const unsigned where = input.byte();
  const std::string_view secret = input.line();
  const std::string_view text = input.rest();
  static const Redactor none;
  const std::string clean = none.clean(text);
  fuzz::require(none.clean(clean) == clean, "what is clean stays as it is");
  const Redactor::Hex hex = where % 2 == 0 ? Redactor::Hex::key : Redactor::Hex::digest;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const Shape shape = secret_shape(text, at, hex);
    if (shape.end == 0) continue;
    fuzz::require(at <= shape.hide && shape.hide <= shape.end && shape.end <= text.size(),
                  "a shape lies in its text");
  }
  if (usable(secret)) check_kept(secret, text, where);
  return 0;
}
