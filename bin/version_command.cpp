#include "base/json.hpp"
#include "bin/commands.hpp"
#include "bin/exit_codes.hpp"
#include "bin/terminal.hpp"
#include "bin/version.hpp"

#include <string>

#include <nlohmann/json.hpp>

namespace pn::bin {

int version_command(const Invocation& invocation) {
  if (invocation.json) {
    Json answer;
    answer["version"] = kVersion;
    answer["git"] = kGitDescription.empty() ? Json() : Json(kGitDescription);
    answer["compiler"] = kCompiler;
    answer["build"] = kBuildType;
    print(dump_json(answer) + "\n");
    return kExitOk;
  }
  std::string text = "posenode " + std::string(kVersion);
  if (!kGitDescription.empty()) text += " (" + std::string(kGitDescription) + ")";
  print(text + ", " + std::string(kCompiler) + "\n");
  return kExitOk;
}

}  // namespace pn::bin
