#include "bin/client_run.hpp"

#include "base/awaitable.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "base/system_clock.hpp"
#include "base/system_rng.hpp"
#include "bin/client_session.hpp"
#include "bin/client_settings.hpp"
#include "bin/commands.hpp"
#include "bin/dms_jobs_client.hpp"
#include "bin/domain_data.hpp"
#include "bin/environment.hpp"
#include "bin/exit_codes.hpp"
#include "bin/redaction.hpp"
#include "bin/terminal.hpp"
#include "http/client.hpp"

#include <csignal>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/system/system_error.hpp>

namespace pn::bin {
namespace {

/// The end of a command: its code, or that it was cancelled. Anything else is a bug and goes on to
/// main.
std::optional<int> outcome(const std::exception_ptr& failure, int code) {
  if (!failure) return code;
  try {
    std::rethrow_exception(failure);
  } catch (const boost::system::system_error& e) {
    if (e.code() != asio::error::operation_aborted) throw;
    return std::nullopt;
  }
}

}  // namespace

bool load_environment(Invocation& invocation) {
  std::set<std::string> before;
  for (const auto& [name, value] : invocation.environment) before.insert(name);
  const Result<void> loaded = load_env_file(invocation.env_file, invocation.environment);
  for (const auto& [name, value] : invocation.environment) {
    if (!before.contains(name)) invocation.from_file.insert(name);
  }
  remember_secrets(invocation.environment);
  if (loaded.ok()) return true;
  complain("--env-file: " + loaded.error().detail);
  return false;
}

int run_client(Invocation& invocation,
               const std::function<Awaitable<int>(Client&)>& command,
               const std::function<int()>& interrupted) {
  if (!load_environment(invocation)) return kExitConfiguration;
  ParsedClientSettings parsed = parse_client_settings(invocation.environment);
  if (!parsed.faults.empty()) {
    for (const std::string& fault : parsed.faults) complain(fault);
    return kExitConfiguration;
  }

  asio::io_context loop(1);
  SystemClock clock;
  SystemRng rng;
  ThreadPool io("client-io", 2);
  Result<std::unique_ptr<http::HttpClient>> http =
      http::make_http_client(loop.get_executor(), parsed.settings.http);
  if (!http) {
    complain(http.error());
    return kExitConfiguration;
  }
  ClientSession session(**http, clock, rng, std::move(parsed.settings));
  DmsJobsClient jobs(session, rng);
  DomainData data(session, clock, rng, io);
  Client client{
      .clock = clock, .rng = rng, .io = io, .session = session, .jobs = jobs, .data = data};

  asio::cancellation_signal cancel;
  asio::signal_set signals(loop, SIGINT, SIGTERM);
  int caught = 0;
  signals.async_wait([&](const boost::system::error_code& failed, int number) {
    if (failed) return;
    caught = number;
    // From now on a second signal ends the process at once.
    signals.clear();
    cancel.emit(asio::cancellation_type::terminal);
  });

  int code = kExitInternal;
  std::exception_ptr failure;
  asio::co_spawn(loop,
                 command(client),
                 asio::bind_cancellation_slot(cancel.slot(),
                                              [&](const std::exception_ptr& thrown, int answered) {
                                                failure = thrown;
                                                code = answered;
                                                signals.cancel();
                                              }));
  loop.run();

  const std::optional<int> ended = outcome(failure, code);
  if (ended) return *ended;
  if (interrupted) return interrupted();
  signals.clear();
  std::raise(caught);
  return kExitInternal;  // only where the signal is ignored
}

}  // namespace pn::bin
