#include "bin/job_spec.hpp"

#include "base/ids.hpp"
#include "base/json.hpp"
#include "base/result.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

namespace pn::bin {
namespace {

Error bad(std::string_view what, std::string_view why) {
  return {ErrorKind::rejected, "job_spec", std::string(what) + ": " + std::string(why)};
}

}  // namespace

std::string short_name(const Capability& capability) {
  std::string name = capability.str();
  const std::size_t last = name.rfind('/');
  const bool versioned =
      last != std::string::npos && last + 1 < name.size() && name[last + 1] == 'v' && last > 0;
  if (versioned) name.resize(last);
  const std::size_t slash = name.rfind('/');
  if (slash != std::string::npos) name.erase(0, slash + 1);
  return name.empty() ? "task" : name;
}

Result<Json> make_spec(const SimpleJob& job, const DomainId& domain) {
  Result<Json> meta = parse_json(job.meta_json);
  if (!meta || !meta->is_object()) return bad("--meta", "must be a JSON object, or @FILE of one");
  const std::string label = job.label.empty() ? short_name(job.capability) : job.label;
  Json spec;
  spec["label"] = label;
  spec["domain_id"] = domain.str();
  if (job.priority) spec["priority"] = *job.priority;
  spec["tasks"] = Json::array();
  for (int i = 1; i <= job.count; ++i) {
    Json task;
    task["label"] = job.count == 1 ? label : label + "-" + std::to_string(i);
    task["stage"] = label;
    task["capability"] = job.capability.str();
    task["inputs_cids"] = job.inputs;
    task["meta"] = *meta;
    if (job.max_attempts) task["max_attempts"] = *job.max_attempts;
    spec["tasks"].push_back(std::move(task));
  }
  return spec;
}

Result<Json> read_spec(std::string_view text, std::string_view file, const DomainId& domain) {
  Result<Json> spec = parse_json(text);
  if (!spec) return bad(file, spec.error().detail);
  if (!spec->is_object() || !spec->contains("tasks")) {
    return bad(file, "is no job spec: an object with \"label\" and \"tasks\" was expected");
  }
  Json& named = (*spec)["domain_id"];
  if (named.is_null()) named = domain.str();
  if (named != domain.str()) {
    return bad(file, "its domain_id is not DOMAIN_ID (" + domain.str() + "); set DOMAIN_ID to it");
  }
  return spec;
}

}  // namespace pn::bin
