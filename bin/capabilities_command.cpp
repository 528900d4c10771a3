#include "base/json.hpp"
#include "bin/commands.hpp"
#include "bin/exit_codes.hpp"
#include "bin/log_setup.hpp"
#include "bin/node_host.hpp"
#include "bin/runner_set.hpp"
#include "bin/terminal.hpp"
#include "node/config.hpp"

#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace pn::bin {

int capabilities_command(Invocation invocation) {
  if (!load_environment(invocation)) return kExitConfiguration;
  // What a node could run does not depend on who it is.
  invocation.environment["REG_SECRET"] = "unused";
  invocation.environment["SECP256K1_PRIVHEX"] = std::string(63, '0') + "1";
  invocation.environment.erase("REG_SECRET_FILE");
  invocation.environment.erase("SECP256K1_PRIVHEX_FILE");
  const node::ParsedConfig parsed = node::parse_config(invocation.environment, this_host());
  if (!parsed.faults.empty()) {
    for (const std::string& fault : parsed.faults) complain(fault);
    return kExitConfiguration;
  }
  const std::vector<RunnerState> states = runner_states(parsed.config, search_path(invocation));
  if (invocation.json) {
    Json answer;
    answer["capabilities"] = Json::array();
    for (const RunnerState& state : states) {
      Json item;
      item["capability"] = state.capability.str();
      item["runner"] = state.runner;
      item["ready"] = state.ready;
      if (!state.ready) item["missing"] = state.missing;
      answer["capabilities"].push_back(std::move(item));
    }
    print(dump_json(answer) + "\n");
    return kExitOk;
  }
  Table table({"CAPABILITY", "RUNNER", "STATE", ""});
  for (const RunnerState& state : states) {
    table.add(
        {state.capability.str(), state.runner, state.ready ? "ready" : "missing", state.missing});
  }
  print(table.text(invocation.out, 2));
  return kExitOk;
}

}  // namespace pn::bin
