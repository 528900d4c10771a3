#include "base/json.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "base/system_clock.hpp"
#include "base/system_rng.hpp"
#include "bin/commands.hpp"
#include "bin/exit_codes.hpp"
#include "bin/log_setup.hpp"
#include "bin/market_host.hpp"
#include "bin/stop_signals.hpp"
#include "bin/terminal.hpp"
#include "market/bootstrap.hpp"
#include "market/market.hpp"
#include "market/settings.hpp"

#include <exception>
#include <memory>
#include <string>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <nlohmann/json.hpp>
#include <unistd.h>

namespace pn::bin {
namespace {

void announce(const Invocation& invocation,
              const market::Market& market,
              const MarketOptions& options) {
  const market::Bootstrapped& first = market.bootstrapped();
  if (invocation.json) {
    Json answer;
    answer["public_url"] = market.public_url();
    answer["port"] = market.port();
    answer["app_key"] = first.app_key;
    answer["user_email"] = first.user_email;
    answer["domain_id"] = first.domain.str();
    answer["domain"] = first.domain_name;
    if (first.made_up_registration_secret && first.registration_secret) {
      answer["reg_secret"] = first.registration_secret->reveal();
    }
    if (first.made_up_app_secret && first.app_secret) {
      answer["app_secret"] = first.app_secret->reveal();
    }
    if (first.made_up_user_password && first.user_password) {
      answer["user_password"] = first.user_password->reveal();
    }
    print(dump_json(answer) + "\n");
    return;
  }
  std::string text = "Marketplace at " + market.public_url() + " (data in " +
                     options.data.string() + ")\n  domain         " + first.domain.str() + "  " +
                     printable(first.domain_name) + "\n  app key        " + first.app_key +
                     "\n  user           " + printable(first.user_email) + "\n";
  text += first_credentials_text(first);
  if (!options.write_env.empty()) {
    text +=
        "What nodes and clients need is in " + options.write_env.string() + " (for --env-file)\n";
  }
  print(text);
}

}  // namespace

int market_command(Invocation invocation, MarketOptions options) {
  if (!load_environment(invocation)) return kExitConfiguration;
  market::ParsedMarketSettings parsed = market::parse_market_settings(invocation.environment);
  const log::Options logging = log_options(invocation.environment, log::Options(), parsed.faults);
  if (options.data.empty()) options.data = default_folder(invocation.environment, "market");
  if (options.data.empty()) parsed.faults.emplace_back("--data is not given, and HOME is not set");
  if (!parsed.faults.empty()) {
    for (const std::string& fault : parsed.faults) complain(fault);
    return kExitConfiguration;
  }
  market::MarketSettings& settings = parsed.settings;
  settings.listen = options.listen;
  settings.public_url = options.public_url;
  settings.data_dir = options.data;

  SystemClock clock;
  SystemRng rng;
  asio::io_context loop(1);
  const log::Logger logger(logging, log::stderr_sink());
  Result<std::unique_ptr<market::Market>> market =
      market::Market::open(loop.get_executor(), clock, rng, logger, std::move(settings));
  if (!market) {
    complain(market.error());
    return kExitConfiguration;
  }
  if (!options.write_env.empty()) {
    const Result<void> written =
        write_client_env(options.write_env, (*market)->bootstrapped(), (*market)->public_url());
    if (!written.ok()) {
      complain(written.error());
      return kExitConfiguration;
    }
  }
  announce(invocation, **market, options);

  StopSignals signals(loop, [&](int count) {
    if (count == 1) (*market)->request_stop();
    if (count >= 2) ::_exit(kExitForced);
  });
  std::exception_ptr failure;
  asio::co_spawn(loop, (*market)->run(), [&](const std::exception_ptr& thrown) {
    failure = thrown;
    signals.stop();
  });
  loop.run();
  if (failure) std::rethrow_exception(failure);
  return kExitOk;
}

}  // namespace pn::bin
