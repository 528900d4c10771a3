#include "bin/run_check.hpp"

#include "auth/wallet.hpp"
#include "base/ids.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "bin/commands.hpp"
#include "bin/exit_codes.hpp"
#include "bin/folder_space.hpp"
#include "bin/redaction.hpp"
#include "bin/runner_set.hpp"
#include "bin/secret_sources.hpp"
#include "bin/terminal.hpp"
#include "http/client.hpp"
#include "http/server.hpp"
#include "node/config.hpp"
#include "node/node_cache.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace pn::bin {
namespace {

std::string address_of(const node::Config& config) {
  const Result<auth::Wallet> wallet = auth::Wallet::from_hex(config.private_key);
  return wallet ? wallet->address().str() : "";
}

std::string listens_at(const node::Config& config) {
  const http::ListenAddress& at = config.status_addr;
  return (at.address.empty() ? "*" : at.address) + ":" + std::to_string(at.port);
}

/// How many of it run at a time.
std::size_t slots_of(const node::Config& config, const Capability& capability) {
  const auto cap = config.capability_concurrency.find(capability);
  const std::size_t all = config.max_concurrency;
  return cap == config.capability_concurrency.end() ? all : std::min(all, cap->second);
}

std::string seconds(std::chrono::seconds time, std::string_view zero) {
  return time.count() == 0 ? std::string(zero) : std::to_string(time.count()) + " s";
}

std::string proxy_of(const node::Config& config) {
  const bool none = config.https_proxy.reveal().empty() && config.http_proxy.reveal().empty();
  return none ? "none" : "as configured";
}

std::vector<FolderSpace> folders_of(const node::Config& config) {
  return node_folders(config.state_dir, config.work_dir, node::cache_folder(config));
}

std::string cache_of(const node::Config& config) {
  if (config.cache_max_gb == 0) return "none";
  return node::cache_folder(config).string() + ", at most " + std::to_string(config.cache_max_gb) +
         " GiB";
}

Json plan_json(const Invocation& invocation,
               const node::ParsedConfig& parsed,
               const std::vector<RunnerState>& runners) {
  const node::Config& config = parsed.config;
  Json out;
  out["version"] = config.node_version;
  out["address"] = address_of(config);
  out["dds"] = config.dds_base_url.str();
  out["dms"] = config.dms_base_url.str();
  out["slots"] = config.max_concurrency;
  out["capabilities"] = Json::array();
  for (const RunnerState& state : runners) {
    Json item;
    item["capability"] = state.capability.str();
    item["runner"] = state.runner;
    item["ready"] = state.ready;
    item["slots"] = slots_of(config, state.capability);
    if (!state.ready) item["missing"] = state.missing;
    out["capabilities"].push_back(std::move(item));
  }
  out["folders"] = Json::array();
  for (const FolderSpace& space : folders_of(config)) {
    out["folders"].push_back({{"setting", space.setting},
                              {"path", space.path.string()},
                              {"free_bytes", space.free_bytes},
                              {"used_pct", space.used_pct},
                              {"inodes_used_pct", space.inodes_used_pct},
                              {"fault", fault_of(space, config)}});
  }
  out["cache_max_gb"] = config.cache_max_gb;
  out["drain_timeout_secs"] = config.drain_timeout.count();
  out["cancel_grace_secs"] = config.cancel_grace.count();
  out["status_addr"] = listens_at(config);
  out["secrets"] = secret_sources(invocation, parsed);
  out["warnings"] = secret_doubts(invocation, parsed);
  return out;
}

void line(std::string& out, std::string_view name, const std::string& value) {
  std::string key(name);
  key.resize(14, ' ');
  out += key + printable(value) + "\n";
}

std::string plan_text(const Invocation& invocation,
                      const node::ParsedConfig& parsed,
                      const std::vector<RunnerState>& runners) {
  const node::Config& config = parsed.config;
  std::string out;
  line(out, "version", config.node_version);
  line(out, "address", address_of(config));
  line(out, "DDS", config.dds_base_url.str());
  line(out, "DMS", config.dms_base_url.str());
  line(out, "proxy", proxy_of(config));
  line(out, "slots", std::to_string(config.max_concurrency));
  for (const RunnerState& state : runners) {
    const std::string at_most = std::to_string(slots_of(config, state.capability));
    line(out,
         state.ready ? "capability" : "missing",
         state.capability.str() +
             (state.ready ? ", at most " + at_most + " at a time" : ": " + state.missing));
  }
  for (const FolderSpace& space : folders_of(config)) {
    const std::string fault = fault_of(space, config);
    line(out,
         space.setting,
         space.path.string() + ": " + describe(space) +
             (fault.empty() ? "" : "; NO WORK IS LEASED: " + fault));
  }
  line(out, "cache", cache_of(config));
  line(out, "drain", seconds(config.drain_timeout, "until the tasks are done"));
  line(out, "cancel grace", seconds(config.cancel_grace, "none"));
  line(out, "status", listens_at(config));
  for (const std::string& secret : secret_sources(invocation, parsed)) line(out, "secret", secret);
  for (const std::string& doubt : secret_doubts(invocation, parsed)) line(out, "warning", doubt);
  return out;
}

}  // namespace

int run_check(const Invocation& invocation,
              const node::ParsedConfig& parsed,
              const std::vector<RunnerState>& runners) {
  std::vector<std::string> faults = parsed.faults;
  for (std::string& fault : faults) redactor()->apply(fault);
  const bool any = std::any_of(
      runners.begin(), runners.end(), [](const RunnerState& state) { return state.ready; });
  if (faults.empty() && !any) {
    faults.emplace_back("no capability is left to run: `run` would refuse to start");
  }
  if (faults.empty() || parsed.faults.empty()) {
    if (invocation.json) {
      Json out = plan_json(invocation, parsed, runners);
      out["faults"] = faults;
      print(dump_json(out) + "\n");
    } else {
      print(plan_text(invocation, parsed, runners));
    }
  } else if (invocation.json) {
    Json out;
    out["faults"] = faults;
    print(dump_json(out) + "\n");
  }
  for (const std::string& fault : faults) complain(fault);
  return faults.empty() ? kExitOk : kExitConfiguration;
}

}  // namespace pn::bin
