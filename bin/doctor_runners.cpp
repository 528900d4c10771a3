#include "base/awaitable.hpp"
#include "base/deadline.hpp"
#include "base/file.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "bin/beside.hpp"
#include "bin/doctor.hpp"
#include "bin/doctor_report.hpp"
#include "bin/runner_set.hpp"
#include "runners/process.hpp"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace pn::bin::doctor {
namespace {

namespace fs = std::filesystem;

/// What a program's help says of itself.
struct Said {
  int code = 0;
  std::string version;  ///< the line that names the program
  std::string build;    ///< the line in brackets after it: "(Commit ... without CUDA)"
  std::string first;    ///< the first line there is
};

void note(std::string_view line, Said& said) {
  while (line.starts_with(' ')) line.remove_prefix(1);
  if (line.empty()) return;
  if (said.first.empty()) said.first = line.substr(0, 200);
  if (said.version.empty() && line.starts_with("COLMAP ")) said.version = line.substr(0, 100);
  if (said.build.empty() && line.starts_with("(") && !said.version.empty()) {
    said.build = line.substr(0, 100);
  }
}

/// `program help`, which every COLMAP answers without doing anything.
Awaitable<Result<Said>> help_of(Patient& patient, fs::path program) {
  Said said;
  runners::ProcessSpec spec;
  spec.program = program.string();
  spec.arguments = {"help"};
  spec.environment["PATH"] = patient.search_path;
  spec.environment["QT_QPA_PLATFORM"] = "offscreen";
  spec.folder = "/";
  spec.on_line = [&said](std::string_view line) { note(line, said); };
  spec.grace = Millis(0);
  const Result<runners::ProcessExit> ended = co_await patient.launcher.run(std::move(spec));
  if (!ended) co_return ended.error();
  said.code = ended->code;
  co_return said;
}

Finding program_finding(const RunnerState& state, const Result<Said>& said) {
  const std::string tried = state.capability.str() + ": " + state.program.string() + " help";
  const std::string remedy =
      "install the Debian package colmap again, or say in SFM_COLMAP where "
      "another COLMAP is";
  if (!said) {
    const std::string got =
        said.error().code == "deadline" ? "it does not end" : said.error().detail;
    return failure("capabilities", Blame::configuration, tried, got, {remedy});
  }
  if (said->code != 0) {
    return failure("capabilities",
                   Blame::configuration,
                   tried,
                   "it ended with code " + std::to_string(said->code) + " (" + said->first + ")",
                   {remedy});
  }
  if (said->version.empty()) {
    return failure("capabilities",
                   Blame::configuration,
                   tried,
                   "what answers is not COLMAP (" + said->first + ")",
                   {remedy});
  }
  std::string got = said->version;
  if (!said->build.empty()) got += " " + said->build;
  return fine("capabilities", tried, std::move(got));
}

/// Devices that a COLMAP with CUDA, or a driver, would use. Blocks.
std::string graphics() {
  std::string out;
  std::error_code ignored;
  const Result<std::string> driver = read_file("/proc/driver/nvidia/version", 4096);
  if (driver) out = driver->substr(0, driver->find('\n'));
  if (out.empty() && fs::exists("/dev/nvidia0", ignored)) out = "/dev/nvidia0";
  if (out.empty() && fs::exists("/dev/dri/renderD128", ignored)) out = "/dev/dri/renderD128";
  return out;
}

Finding gpu_finding(const Result<std::string>& found, bool cuda) {
  const std::string tried = "look for a GPU";
  const std::string cores = std::to_string(std::max(1U, std::thread::hardware_concurrency()));
  if (!found || found->empty()) {
    return fine("gpu", tried, "none; runners work on " + cores + " CPU cores, which is enough");
  }
  return fine("gpu",
              tried,
              *found + (cuda ? "; COLMAP can use it"
                             : "; not used: this COLMAP is built without CUDA, runners work on " +
                                   cores + " CPU cores"));
}

}  // namespace

Awaitable<void> examine_runners(Patient& patient) {
  std::string offered;
  std::string missing;
  std::vector<Finding> programs;
  bool cuda = false;
  for (const RunnerState& state : patient.runners) {
    if (!state.ready) {
      missing += (missing.empty() ? "" : "; ") + state.capability.str() + ": " + state.missing;
      continue;
    }
    if (!state.program.empty()) {
      Awaitable<Result<Said>> help = help_of(patient, state.program);
      const Result<Said> said =
          co_await with_deadline(patient.clock, patient.step(), std::move(help));
      programs.push_back(program_finding(state, said));
      if (said) cuda = cuda || said->build.find("with CUDA") != std::string::npos;
    }
    offered += (offered.empty() ? "" : ", ") + state.capability.str();
  }

  const auto broken = std::find_if(programs.begin(), programs.end(), [](const Finding& finding) {
    return finding.verdict == Verdict::fail;
  });
  const std::string tried = "what can be run here";
  if (broken != programs.end()) {
    patient.report.add(*broken);
  } else if (offered.empty()) {
    patient.report.add(failure("capabilities",
                               Blame::configuration,
                               tried,
                               "nothing (" + missing + ")",
                               {"install COLMAP (apt install colmap), or set SFM_COLMAP to where "
                                "it is; ENABLE_NOOP=true offers /noop/v1, which is for tests"}));
  } else {
    std::string got = offered;
    for (const Finding& finding : programs) got += "; " + finding.got;
    if (missing.empty()) {
      patient.report.add(fine("capabilities", tried, got));
    } else {
      patient.report.add(doubt("capabilities",
                               tried,
                               got + "; not " + missing,
                               "without it the node takes no job that asks for that"));
    }
  }
  const std::function<std::string()> look = graphics;
  const Result<std::string> found = co_await beside(patient.pool, patient.left(), look);
  patient.report.add(gpu_finding(found, cuda));
}

}  // namespace pn::bin::doctor
