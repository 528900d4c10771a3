#include "base/awaitable.hpp"
#include "base/file.hpp"
#include "base/json.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "base/system_clock.hpp"
#include "base/system_rng.hpp"
#include "bin/commands.hpp"
#include "bin/environment.hpp"
#include "bin/exit_codes.hpp"
#include "bin/log_setup.hpp"
#include "bin/loop_thread.hpp"
#include "bin/market_host.hpp"
#include "bin/new_key.hpp"
#include "bin/node_host.hpp"
#include "bin/private_process.hpp"
#include "bin/redaction.hpp"
#include "bin/runner_set.hpp"
#include "bin/stop_signals.hpp"
#include "bin/terminal.hpp"
#include "http/server.hpp"
#include "market/market.hpp"
#include "market/settings.hpp"
#include "node/config.hpp"

#include <chrono>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_future.hpp>
#include <nlohmann/json.hpp>
#include <unistd.h>

namespace pn::bin {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kCredentialsLimit = 64 * 1024;

/// What an earlier start made up. Kind `rejected` when something of it is missing.
Result<Environment> kept_credentials(const std::string& text, const fs::path& file) {
  Result<Environment> kept = parse_env_file(text, file.string(), Environment());
  if (!kept) return std::move(kept).error();
  for (const char* name : {"SECP256K1_PRIVHEX",
                           "MARKET_BOOTSTRAP_REG_SECRET",
                           "MARKET_BOOTSTRAP_APP_KEY",
                           "MARKET_BOOTSTRAP_APP_SECRET",
                           "MARKET_BOOTSTRAP_USER_PASSWORD",
                           "MARKET_BOOTSTRAP_DOMAIN"}) {
    if (value_of(*kept, name)) continue;
    return Error(ErrorKind::rejected,
                 "dev_credentials",
                 file.string() + " holds no " + name +
                     ". Delete its folder to have everything made up anew");
  }
  return kept;
}

/// What a first start makes up, kept in the data folder for the next ones.
Result<Environment> made_up_credentials(const fs::path& file, Rng& rng) {
  const Result<std::string> old = read_file(file, kCredentialsLimit);
  if (old) return kept_credentials(*old, file);
  if (old.error().kind != ErrorKind::not_found) return old.error();
  const NewKey key = make_key(rng);
  const Environment made{{"SECP256K1_PRIVHEX", key.hex.reveal()},
                         {"MARKET_BOOTSTRAP_REG_SECRET", random_hex(rng, 16)},
                         {"MARKET_BOOTSTRAP_APP_KEY", "dev-" + random_hex(rng, 6)},
                         {"MARKET_BOOTSTRAP_APP_SECRET", random_hex(rng, 16)},
                         {"MARKET_BOOTSTRAP_USER_PASSWORD", random_hex(rng, 16)},
                         {"MARKET_BOOTSTRAP_DOMAIN", "dev"}};
  std::string text = "# Made up by posenode dev. Delete this folder for new ones.\n";
  for (const auto& [name, value] : made) text += name + "=" + value + "\n";
  const Result<void> written = write_file(file, text, 0600);
  if (!written.ok()) return written.error();
  return made;
}

/// A node beside its marketplace: quick to ask, quick to stop, noop and all. The environment's own
/// values win, but for whom it talks to and who it is.
Environment node_environment(Environment environment,
                             const market::Market& market,
                             const Environment& credentials,
                             const fs::path& data) {
  const auto prefer = [&](const std::string& name, const std::string& value) {
    environment.try_emplace(name, value);
  };
  prefer("POLL_BACKOFF_MS_MIN", "50");
  prefer("POLL_BACKOFF_MS_MAX", "200");
  prefer("HEARTBEAT_JITTER_MS", "50");
  prefer("ENABLE_NOOP", "true");
  prefer("NOOP_SLEEP_SECS", "0");
  prefer("CANCEL_GRACE_SECS", "2");
  prefer("STATUS_ADDR", "127.0.0.1:0");
  prefer("LOG_FORMAT", "text");
  // A developer's disk is often fuller than a node's may be.
  prefer("DISK_MIN_FREE_MB", "256");
  prefer("DISK_MAX_USED_PCT", "98");
  prefer("INODE_MAX_USED_PCT", "98");
  environment["DDS_BASE_URL"] = market.public_url();
  environment["DMS_BASE_URL"] = market.public_url() + "/v1";
  environment["REG_SECRET"] = credentials.at("MARKET_BOOTSTRAP_REG_SECRET");
  environment["SECP256K1_PRIVHEX"] = credentials.at("SECP256K1_PRIVHEX");
  environment.erase("REG_SECRET_FILE");
  environment.erase("SECP256K1_PRIVHEX_FILE");
  environment.erase("CREDENTIALS_DIRECTORY");
  environment["STATE_DIR"] = (data / "node").string();
  environment["WORK_DIR"] = (data / "work").string();
  // Nothing leaves this machine.
  for (const char* proxy : {"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"}) {
    environment.erase(proxy);
  }
  return environment;
}

void announce(const Invocation& invocation,
              const market::Market& market,
              const std::vector<RunnerState>& runners,
              const fs::path& env_file) {
  if (invocation.json) {
    Json answer;
    answer["public_url"] = market.public_url();
    answer["port"] = market.port();
    answer["env_file"] = env_file.string();
    answer["domain_id"] = market.bootstrapped().domain.str();
    print(dump_json(answer) + "\n");
    return;
  }
  std::string text = "A marketplace and a node, on this machine alone: " + market.public_url() +
                     "\n  client settings  " + env_file.string() + "\n";
  for (const RunnerState& state : runners) {
    text += "  runs             " + state.capability.str() +
            (state.ready ? "" : "  (not now: " + state.missing + ")") + "\n";
  }
  text += "\nTry it:\n  posenode job submit --env-file " + env_file.string() +
          " --capability /noop/v1 --meta '{\"sleep_secs\":2,\"output_bytes\":1000}' --wait --out "
          "out\n\nCtrl-C stops both.\n";
  print(text);
}

/// The two halves and how they end. All but the market lives on the main thread.
class Dev final {
 public:
  Dev(Invocation invocation, DevOptions options)
      : invocation_(std::move(invocation)), options_(std::move(options)) {}
  ~Dev() {
    node_.reset();
    market_loop_.stop();
  }
  Dev(const Dev&) = delete;
  Dev& operator=(const Dev&) = delete;

  int run() {
    const int refused = prepare();
    return refused != kExitOk ? refused : serve();
  }

 private:
  int prepare();
  int open_market();
  int build_node();
  int serve();
  Awaitable<void> live();

  Invocation invocation_;
  DevOptions options_;
  SystemClock clock_;
  SystemRng rng_;
  LoopThread market_loop_{"market"};
  asio::io_context control_{1};
  Environment credentials_;
  std::unique_ptr<market::Market> market_;
  std::vector<RunnerState> runners_;
  std::unique_ptr<NodeHost> node_;
  std::optional<Error> refused_;
};

int refuse(const std::vector<std::string>& faults) {
  for (const std::string& fault : faults) complain(fault);
  return kExitConfiguration;
}

int Dev::prepare() {
  if (!load_environment(invocation_)) return kExitConfiguration;
  if (options_.data.empty()) options_.data = default_folder(invocation_.environment, "dev");
  if (options_.data.empty()) return refuse({"--data is not given, and HOME is not set"});
  if (options_.write_env.empty()) options_.write_env = options_.data / "client.env";
  const Result<http::ListenAddress> listen = http::parse_listen_address(options_.listen);
  if (!listen) return failed(within("--listen", listen.error()));
  const Result<void> folder = make_folders(options_.data, 0700);
  if (!folder.ok()) return failed(within("--data", folder.error()));
  Result<Environment> made = made_up_credentials(options_.data / "credentials.env", rng_);
  if (!made) return failed(made.error());
  credentials_ = std::move(*made);
  remember_secrets(credentials_);
  const int market = open_market();
  return market != kExitOk ? market : build_node();
}

int Dev::open_market() {
  Environment environment = invocation_.environment;
  for (const auto& [name, value] : credentials_) environment[name] = value;
  market::ParsedMarketSettings parsed = market::parse_market_settings(environment);
  const log::Options logging = log_options(
      environment, {.level = log::Level::warn, .format = log::Format::text}, parsed.faults);
  if (!parsed.faults.empty()) return refuse(parsed.faults);
  // Quieter than the node, which tells of the same tasks.
  const log::Logger logger(logging, log::stderr_sink(), redactor());
  parsed.settings.listen = options_.listen;
  parsed.settings.data_dir = options_.data / "market";
  Result<std::unique_ptr<market::Market>> opened = market::Market::open(
      market_loop_.executor(), clock_, rng_, logger, std::move(parsed.settings));
  if (!opened) return failed(opened.error());
  market_ = std::move(*opened);
  return kExitOk;
}

int Dev::build_node() {
  const Environment environment =
      node_environment(invocation_.environment, *market_, credentials_, options_.data);
  node::ParsedConfig parsed = node::parse_config(environment, this_host());
  if (!parsed.faults.empty()) return refuse(parsed.faults);
  runners_ = runner_states(parsed.config, search_path(invocation_));
  const log::Logger logger({.level = parsed.config.log_level, .format = parsed.config.log_format},
                           log::stderr_sink(),
                           redactor());
  Result<std::unique_ptr<NodeHost>> built =
      NodeHost::build(control_.get_executor(), std::move(parsed.config), runners_, logger);
  if (!built) return failed(built.error());
  node_ = std::move(*built);
  return kExitOk;
}

/// The market serves as long as the node may need it, and not longer.
Awaitable<void> Dev::live() {
  Result<void> ended = co_await node_->run();
  if (!ended.ok()) refused_ = std::move(ended).error();
}

int Dev::serve() {
  const Result<HeldSecrets> written =
      write_client_env(options_.write_env, market_->bootstrapped(), market_->public_url());
  if (!written.ok()) return failed(written.error());
  std::future<void> market_ended =
      asio::co_spawn(market_loop_.executor(), market_->run(), asio::use_future);
  market_loop_.start();

  // Before anybody is told that they are there: who is told may stop them.
  StopSignals signals(control_, 2, [&](int) { node_->cancel_tasks(); });
  announce(invocation_, *market_, runners_, options_.write_env);
  std::exception_ptr failure;
  asio::co_spawn(control_, live(), [&](const std::exception_ptr& thrown) {
    failure = thrown;
    signals.stop();
  });
  control_.run();
  node_.reset();
  asio::post(market_loop_.context(), [this] { market_->request_stop(); });
  // A client may hold an answer open; nobody should wait for it.
  const bool ended = market_ended.wait_for(std::chrono::seconds(3)) == std::future_status::ready;
  if (!ended) ::_exit(refused_ ? exit_code(*refused_) : kExitOk);
  market_loop_.stop();
  market_ended.get();
  if (failure) std::rethrow_exception(failure);
  if (refused_) return failed(*refused_);
  return kExitOk;
}

}  // namespace

int dev_command(Invocation invocation, DevOptions options) {
  keep_memory_private();
  Dev dev(std::move(invocation), std::move(options));
  return dev.run();
}

}  // namespace pn::bin
