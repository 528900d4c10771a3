#include "base/redacted_json.hpp"

#include "base/json.hpp"
#include "base/redactor.hpp"
#include "base/redactor_shapes.hpp"

#include <string>
#include <utility>

#include <nlohmann/json.hpp>

namespace pn {
namespace {

/// Every text under a secret's name. Numbers are how many tokens, and the like.
void hide(Json& value) {
  if (value.is_structured()) {
    for (Json& inner : value) hide(inner);
  } else if (value.is_string()) {
    value = "[redacted]";
  }
}

void redact_object(Json& value, const Redactor& redactor, Redactor::Hex hex) {
  Json out = Json::object();
  for (auto& item : value.items()) {
    std::string name = item.key();
    Json& inner = item.value();
    if (is_secret_name(name)) {
      hide(inner);
    } else {
      redact(inner, redactor, hex);
    }
    redactor.apply(name, hex);
    while (out.contains(name)) name += '_';  // two names, of which each was a secret
    out[std::move(name)] = std::move(inner);
  }
  value = std::move(out);
}

}  // namespace

// parse_json bounds the depth.
void redact(Json& value, const Redactor& redactor, Redactor::Hex hex) {
  if (value.is_string()) {
    redactor.apply(value.get_ref<std::string&>(), hex);
  } else if (value.is_array()) {
    for (Json& item : value) redact(item, redactor, hex);
  } else if (value.is_object()) {
    redact_object(value, redactor, hex);
  }
}

}  // namespace pn
