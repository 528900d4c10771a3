#include "base/awaitable.hpp"
#include "base/deadline.hpp"
#include "base/nursery.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "base/system_clock.hpp"
#include "base/system_rng.hpp"
#include "base/time.hpp"
#include "bin/client_settings.hpp"
#include "bin/commands.hpp"
#include "bin/doctor.hpp"
#include "bin/doctor_report.hpp"
#include "bin/environment.hpp"
#include "bin/exit_codes.hpp"
#include "bin/log_setup.hpp"
#include "bin/node_host.hpp"
#include "bin/private_process.hpp"
#include "bin/redaction.hpp"
#include "bin/runner_set.hpp"
#include "bin/secret_sources.hpp"
#include "bin/terminal.hpp"
#include "http/client.hpp"
#include "node/config.hpp"
#include "runners/process.hpp"

#include <algorithm>
#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

namespace pn::bin {
namespace {

using doctor::Blame;
using doctor::Patient;
using doctor::Reached;
using doctor::Report;
using doctor::Running;

/// With what is cut off at the end, and what is printed, no run takes more than 20 s.
constexpr std::chrono::seconds kLongest{18};

Awaitable<void> reach(Patient& patient, doctor::Service service, Reached& reached) {
  reached = co_await doctor::examine_service(patient, std::move(service));
}

Awaitable<void> examine_machine(Patient& patient, Running& running) {
  running = co_await doctor::examine_folders(patient);
  co_await doctor::examine_status(patient, running);
}

/// What does not need each other runs at the same time; signing in needs all of it.
Awaitable<void> examine(Patient& patient) {
  Running running = Running::unknown;
  Reached dds;
  Reached dms;
  {
    Nursery nursery(patient.executor);
    nursery.spawn("machine", examine_machine(patient, running));
    nursery.spawn("runners", doctor::examine_runners(patient));
    doctor::Service of_dds{
        .name = "dds", .setting = "DDS_BASE_URL", .base = patient.config.dds_base_url};
    nursery.spawn("dds", reach(patient, std::move(of_dds), dds));
    doctor::Service of_dms{
        .name = "dms", .setting = "DMS_BASE_URL", .base = patient.config.dms_base_url};
    nursery.spawn("dms", reach(patient, std::move(of_dms), dms));
    co_await nursery.join();
  }
  patient.report.add(doctor::clock_finding(dds.skew, dms.skew));
  Nursery nursery(patient.executor);
  nursery.spawn("sign_in", doctor::examine_sign_in(patient, running, dds.ok, dms.ok));
  nursery.spawn("storage", doctor::examine_storage(patient, dds.ok));
  co_await nursery.join();
}

void add_configuration(const Invocation& invocation,
                       const node::ParsedConfig& parsed,
                       Report& report) {
  std::string tried = "read the environment";
  if (!invocation.env_file.empty()) tried += " and " + invocation.env_file.string();
  if (!parsed.faults.empty()) {
    const std::string count = std::to_string(parsed.faults.size());
    report.add(doctor::failure("configuration",
                               Blame::configuration,
                               tried,
                               count +
                                   (parsed.faults.size() == 1 ? " setting is" : " settings are") +
                                   " wrong; nothing else was tried",
                               parsed.faults));
    for (const doctor::Check& check : doctor::checks()) {
      if (check.name != "configuration") {
        report.add(doctor::skipped(check.name, "the configuration is wrong"));
      }
    }
    return;
  }
  std::string got = "nothing is wrong";
  for (const std::string& secret : secret_sources(invocation, parsed)) got += "; " + secret;
  doctor::Finding finding = doctor::fine("configuration", tried, got);
  finding.remedies = secret_doubts(invocation, parsed);
  if (!finding.remedies.empty()) finding.verdict = doctor::Verdict::warn;
  report.add(std::move(finding));
}

/// Nothing where no client identity is configured; a fault where one is, and is wrong.
std::optional<ClientSettings> client_of(const Invocation& invocation, Report& report) {
  const auto given = [&](const char* name) {
    return value_of(invocation.environment, name).has_value();
  };
  if (!given("APP_KEY") && !given("APP_SECRET") && !given("DOMAIN_ID")) return std::nullopt;
  ParsedClientSettings parsed = parse_client_settings(invocation.environment);
  if (parsed.faults.empty()) return std::move(parsed.settings);
  report.add(doctor::failure("storage",
                             Blame::configuration,
                             "read the client's settings",
                             "they are wrong",
                             parsed.faults));
  return std::nullopt;
}

int said(const Invocation& invocation, const Report& report) {
  print(invocation.json ? report.json() + "\n" : report.text(invocation.out));
  return report.exit_code();
}

}  // namespace

int doctor_command(Invocation invocation, DoctorOptions options) {
  keep_memory_private();
  if (!load_environment(invocation)) return kExitConfiguration;
  Report report(redactor().get());
  const node::ParsedConfig parsed = node::parse_config(invocation.environment, this_host());
  add_configuration(invocation, parsed, report);
  if (!parsed.faults.empty()) return said(invocation, report);

  remember_secrets(parsed.config);
  const std::string path = search_path(invocation);
  const std::vector<RunnerState> runners = runner_states(parsed.config, path);
  const std::optional<ClientSettings> client = client_of(invocation, report);
  asio::io_context loop(1);
  SystemClock clock;
  SystemRng rng;
  ThreadPool pool("doctor", 8);
  http::ClientOptions how = node::client_options(parsed.config);
  how.connect_timeout = std::min<Millis>(how.connect_timeout, options.timeout);
  const Result<std::unique_ptr<http::HttpClient>> http =
      http::make_http_client(loop.get_executor(), how);
  if (!http) {
    report.add(doctor::failure("dds.http",
                               Blame::configuration,
                               "make an HTTP client",
                               http.error().detail,
                               {"mend the setting that it names"}));
    return said(invocation, report);
  }
  const std::unique_ptr<runners::ProcessLauncher> launcher =
      runners::make_process_launcher(loop.get_executor(), clock);
  Patient patient{.config = parsed.config,
                  .runners = runners,
                  .client = client,
                  .search_path = path,
                  .executor = loop.get_executor(),
                  .clock = clock,
                  .rng = rng,
                  .pool = pool,
                  .http = **http,
                  .launcher = *launcher,
                  .timeout = options.timeout,
                  .end = Deadline::in(clock, kLongest),
                  .report = report};
  std::exception_ptr failure;
  asio::co_spawn(loop, examine(patient), [&](const std::exception_ptr& e) { failure = e; });
  loop.run();
  if (failure) std::rethrow_exception(failure);
  return said(invocation, report);
}

}  // namespace pn::bin
