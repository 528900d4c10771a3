#pragma once

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/deadline.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "base/time.hpp"
#include "bin/client_settings.hpp"
#include "bin/doctor_report.hpp"
#include "bin/runner_set.hpp"
#include "http/client.hpp"
#include "node/config.hpp"
#include "runners/process.hpp"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// The checks of `posenode doctor`, one file a subject. Each adds its findings to the report and
/// answers what others need to know; none takes longer than `Patient::step()`, whatever hangs.
namespace pn::bin::doctor {

/// Who is examined, and with what. All of it lives as long as the command; one loop's.
struct Patient {
  const node::Config& config;
  const std::vector<RunnerState>& runners;
  const std::optional<ClientSettings>& client;  ///< nothing: no client identity is configured
  std::string search_path;                      ///< PATH
  Executor executor;
  Clock& clock;
  Rng& rng;
  ThreadPool& pool;
  http::HttpClient& http;  ///< made as the node makes its own
  runners::ProcessLauncher& launcher;
  Millis timeout;  ///< of one check
  Deadline end;    ///< of the whole
  Report& report;

  [[nodiscard]] Deadline step() const { return Deadline::in(clock, timeout).sooner(end); }
  /// For a request's own time-out, where zero would mean none.
  [[nodiscard]] Millis left() const {
    return std::max(Millis(1), step().remaining(clock).value_or(timeout));
  }
};

/// Whether a node runs with this STATE_DIR.
enum class Running { no, yes, unknown };

/// state_dir, work_dir, disk.
Awaitable<Running> examine_folders(Patient& patient);

/// status_addr, node.
Awaitable<void> examine_status(Patient& patient, Running running);

/// capabilities, gpu.
Awaitable<void> examine_runners(Patient& patient);

struct Service {
  std::string name;     ///< "dds", "dms"
  std::string setting;  ///< "DDS_BASE_URL"
  http::Url base;
};
struct Reached {
  bool ok = false;
  std::optional<Millis> skew;  ///< the server's clock less ours, whole seconds
};
/// <name>.dns, <name>.tcp, <name>.http.
Awaitable<Reached> examine_service(Patient& patient, Service service);
/// clock.
Finding clock_finding(std::optional<Millis> dds, std::optional<Millis> dms);

/// registration, sign_in, dms.token. Registers as the node does at its start, unless one runs here
/// (then that one's registration is left alone).
Awaitable<void> examine_sign_in(Patient& patient, Running running, bool dds, bool dms);

/// storage.
Awaitable<void> examine_storage(Patient& patient, bool dds);

/// What is wrong with an exchange that brought no answer, and what to do. `setting` names the
/// URL's.
Finding explain(std::string_view check,
                std::string tried,
                const Error& error,
                const http::Url& url,
                std::string_view setting);

}  // namespace pn::bin::doctor
