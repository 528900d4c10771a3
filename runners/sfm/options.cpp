#include "runners/sfm/options.hpp"

#include "base/json.hpp"
#include "base/result.hpp"
#include "runners/sfm/camera_models.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

namespace pn::runners::sfm {
namespace {

constexpr std::size_t kExhaustiveBelow = 25;
constexpr std::size_t kExhaustiveRetryUpTo = 100;

std::optional<int> integer_within(JsonFields& fields, std::string_view key, int low, int high) {
  const std::optional<std::int64_t> value = fields.integer(key);
  if (!value) return std::nullopt;
  if (*value < low || *value > high) {
    fields.fault(key, "is not within " + std::to_string(low) + " to " + std::to_string(high));
    return std::nullopt;
  }
  return static_cast<int>(*value);
}

std::optional<Intrinsics> read_intrinsics(JsonFields& meta, std::optional<Error>& error) {
  const Json* object = meta.object("intrinsics");
  if (object == nullptr) return std::nullopt;
  JsonFields fields(*object, "meta.intrinsics");
  fields.only({"model", "params", "width", "height"});
  Intrinsics out;
  out.model = fields.string("model").value_or("PINHOLE");
  out.width = integer_within(fields, "width", 1, 100'000).value_or(0);
  out.height = integer_within(fields, "height", 1, 100'000).value_or(0);
  const CameraModel* model = find_camera_model(out.model);
  if (model == nullptr) {
    std::string known;
    for (const CameraModel& each : kCameraModels) {
      known += (known.empty() ? "" : ", ") + std::string(each.name);
    }
    fields.fault("model", "is none of " + known);
  }
  if (const Json* params = fields.array("params")) {
    for (const Json& value : *params) {
      if (value.is_number() && std::isfinite(value.get<double>())) {
        out.params.push_back(value.get<double>());
      } else {
        fields.fault("params", "holds something that is not a number");
      }
    }
  }
  if (model != nullptr && out.params.size() != model->parameters) {
    fields.fault("params",
                 "has " + std::to_string(out.params.size()) + " numbers where " + out.model +
                     " takes " + std::to_string(model->parameters));
  } else if (!out.params.empty() && out.params.front() <= 0) {
    fields.fault("params", "begins with a focal length that is not positive");
  }
  if (!error) error = fields.error();
  return out;
}

template <class E>
void read_choice(JsonFields& fields,
                 std::string_view key,
                 std::initializer_list<std::pair<std::string_view, E>> choices,
                 E& out) {
  const std::optional<std::string> text = fields.string(key);
  if (!text) return;
  std::string known;
  for (const auto& [word, value] : choices) {
    if (word == *text) {
      out = value;
      return;
    }
    known += (known.empty() ? "" : ", ") + std::string(word);
  }
  fields.fault(key, "is none of " + known);
}

}  // namespace

Result<Options> parse_options(std::string_view meta_json) {
  const Result<Json> json = parse_json(meta_json);
  if (!json) return Error(ErrorKind::rejected, "bad_meta", "meta: " + json.error().detail);
  JsonFields fields(*json, "meta");
  fields.only({"profile",
               "matcher",
               "overlap",
               "max_features",
               "max_image_px",
               "intrinsics",
               "min_registered",
               "max_error_px"});
  Options out;
  read_choice<Profile>(
      fields,
      "profile",
      {{"fast", Profile::fast}, {"default", Profile::standard}, {"fine", Profile::fine}},
      out.profile);
  read_choice<Matcher>(fields,
                       "matcher",
                       {{"auto", Matcher::automatic},
                        {"exhaustive", Matcher::exhaustive},
                        {"sequential", Matcher::sequential}},
                       out.matcher);
  out.overlap = integer_within(fields, "overlap", 1, 100).value_or(out.overlap);
  out.max_features = integer_within(fields, "max_features", 100, 100'000);
  out.max_image_px = integer_within(fields, "max_image_px", 100, 20'000);
  out.min_registered = fields.number("min_registered").value_or(out.min_registered);
  if (!(out.min_registered >= 0 && out.min_registered <= 1)) {
    fields.fault("min_registered", "is not within 0 to 1");
  }
  out.max_error_px = fields.number("max_error_px").value_or(out.max_error_px);
  if (!(out.max_error_px > 0 && out.max_error_px <= 1000)) {
    fields.fault("max_error_px", "is not within 0 to 1000");
  }
  std::optional<Error> error = fields.error();
  out.intrinsics = read_intrinsics(fields, error);
  if (!error) error = fields.error();
  if (error) return Error(ErrorKind::rejected, "bad_meta", error->detail);
  return out;
}

ProfileSettings settings_of(const Options& options, Profile profile) {
  ProfileSettings out;
  switch (profile) {
    case Profile::fast:
      out = {.first_octave = 0, .max_features = 4096, .max_image_px = 1000};
      break;
    case Profile::standard:
      out = {.first_octave = -1, .max_features = 4096, .max_image_px = 1000};
      break;
    case Profile::fine:
      out = {.first_octave = -1, .max_features = 8192, .max_image_px = 1600};
      break;
  }
  const bool asked = profile == options.profile;
  const auto apply = [asked](int& value, std::optional<int> own) {
    if (own) value = asked ? *own : std::max(value, *own);
  };
  apply(out.max_features, options.max_features);
  apply(out.max_image_px, options.max_image_px);
  return out;
}

std::optional<Profile> finer(Profile profile) {
  switch (profile) {
    case Profile::fast:
      return Profile::standard;
    case Profile::standard:
      return Profile::fine;
    case Profile::fine:
      break;
  }
  return std::nullopt;
}

std::string_view name(Profile profile) {
  switch (profile) {
    case Profile::fast:
      return "fast";
    case Profile::standard:
      return "default";
    case Profile::fine:
      return "fine";
  }
  return "";
}

Matcher resolve(Matcher matcher, std::size_t photos, int attempt) {
  if (matcher != Matcher::automatic) return matcher;
  const std::size_t limit = attempt > 1 ? kExhaustiveRetryUpTo + 1 : kExhaustiveBelow;
  return photos < limit ? Matcher::exhaustive : Matcher::sequential;
}

}  // namespace pn::runners::sfm
