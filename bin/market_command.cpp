#include "base/json.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "base/system_clock.hpp"
#include "base/system_rng.hpp"
#include "base/thrown.hpp"
#include "bin/commands.hpp"
#include "bin/exit_codes.hpp"
#include "bin/log_setup.hpp"
#include "bin/market_host.hpp"
#include "bin/private_process.hpp"
#include "bin/redaction.hpp"
#include "bin/stop_signals.hpp"
#include "bin/terminal.hpp"
#include "http/server.hpp"
#include "market/bootstrap.hpp"
#include "market/market.hpp"
#include "market/settings.hpp"

#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <nlohmann/json.hpp>
#include <unistd.h>

namespace pn::bin {
namespace {

/// What is said once and never again: where standard output is lost, a pipe that nobody reads too,
/// it goes to standard error.
void print_once(std::string_view text) {
  if (!write_all(STDOUT_FILENO, text).ok()) static_cast<void>(write_all(STDERR_FILENO, text));
}

void announce(const Invocation& invocation,
              const market::Market& market,
              const MarketOptions& options,
              const HeldSecrets& held) {
  const market::Bootstrapped& first = market.bootstrapped();
  if (invocation.json) {
    Json answer;
    answer["public_url"] = market.public_url();
    answer["port"] = market.port();
    answer["app_key"] = first.app_key;
    answer["user_email"] = first.user_email;
    answer["domain_id"] = first.domain.str();
    answer["domain"] = first.domain_name;
    if (!options.write_env.empty()) answer["env_file"] = options.write_env.string();
    if (first.made_up_registration_secret && first.registration_secret &&
        !held.contains("REG_SECRET")) {
      answer["reg_secret"] = first.registration_secret->reveal();
    }
    if (first.made_up_app_secret && first.app_secret && !held.contains("APP_SECRET")) {
      answer["app_secret"] = first.app_secret->reveal();
    }
    if (first.made_up_user_password && first.user_password) {
      answer["user_password"] = first.user_password->reveal();
    }
    print_once(dump_json(answer) + "\n");
    return;
  }
  std::string text = "Marketplace at " + market.public_url() + " (data in " +
                     options.data.string() + ")\n  domain         " + first.domain.str() + "  " +
                     printable(first.domain_name) + "\n  app key        " + first.app_key +
                     "\n  user           " + printable(first.user_email) + "\n";
  text += first_credentials_text(first, held);
  if (!options.write_env.empty()) {
    text +=
        "What nodes and clients need is in " + options.write_env.string() + " (for --env-file)\n";
  }
  print_once(text);
}

}  // namespace

int market_command(Invocation invocation, MarketOptions options) {
  keep_memory_private();
  if (!load_environment(invocation)) return kExitConfiguration;
  market::ParsedMarketSettings parsed = market::parse_market_settings(invocation.environment);
  const log::Options logging = log_options(invocation.environment, log::Options(), parsed.faults);
  if (options.data.empty()) options.data = default_folder(invocation.environment, "market");
  if (options.data.empty()) parsed.faults.emplace_back("--data is not given, and HOME is not set");
  const Result<http::ListenAddress> listen = http::parse_listen_address(options.listen);
  if (!listen) parsed.faults.push_back("--listen: " + listen.error().detail);
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
  const log::Logger logger(logging, log::stderr_sink(), redactor());
  Result<std::unique_ptr<market::Market>> market =
      market::Market::open(loop.get_executor(), clock, rng, logger, std::move(settings));
  if (!market) return failed(market.error());
  const market::Bootstrapped& first = (*market)->bootstrapped();
  for (const auto* secret : {&first.registration_secret, &first.app_secret, &first.user_password}) {
    if (*secret) redactor()->keep(**secret);
  }
  Result<HeldSecrets> held = HeldSecrets();
  if (!options.write_env.empty()) {
    held = write_client_env(options.write_env, (*market)->bootstrapped(), (*market)->public_url());
  }
  if (!held) {
    complain(held.error());
    // What was made up is stored as hashes alone by now: this is the last who could say it.
    print(first_credentials_text((*market)->bootstrapped(), HeldSecrets()));
    return exit_code(held.error());
  }
  // Before anybody is told that it is there: who is told may stop it.
  asio::cancellation_signal cut;
  StopSignals signals(loop, 3, [&](int count) {
    if (count == 1) (*market)->request_stop();
    if (count == 2) cut.emit(asio::cancellation_type::terminal);
  });
  announce(invocation, **market, options, *held);
  if (!options.write_env.empty()) {
    for (const std::string& line : lost_secrets(options.write_env, *held)) complain(line);
  }

  std::exception_ptr failure;
  const auto ended = [&](const std::exception_ptr& thrown) {
    if (!is_aborted(thrown)) failure = thrown;
    signals.stop();
  };
  asio::co_spawn(loop, (*market)->run(), asio::bind_cancellation_slot(cut.slot(), ended));
  loop.run();
  if (failure) std::rethrow_exception(failure);
  return kExitOk;
}

}  // namespace pn::bin
