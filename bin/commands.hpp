#pragma once

#include "bin/environment.hpp"
#include "bin/terminal.hpp"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

/// What main hands to a subcommand, and the subcommands: one file each, one call each, which
/// answers the exit code (exit_codes.hpp) and has said on the terminal what there was to say.
namespace pn::bin {

/// What every command starts from.
struct Invocation {
  Environment environment;
  std::filesystem::path env_file;   ///< --env-file; empty: none
  std::set<std::string> from_file;  ///< the settings that it gave, and not the environment
  bool json = false;                ///< --json
  Terminal out;                     ///< what standard output is
};

/// Puts the --env-file under the environment; false (and said why) when it cannot be read.
bool load_environment(Invocation& invocation);

enum class RunMode {
  run,    ///< until told to stop
  once,   ///< one task, if there is one; the exit code is that task's
  check,  ///< only says what it would do, and touches no network
};
int run_command(Invocation invocation, RunMode mode);

struct DoctorOptions {
  std::chrono::milliseconds timeout{5000};  ///< of one check
};
int doctor_command(Invocation invocation, DoctorOptions options);

/// For those that speak with a running node.
struct ControlOptions {
  std::filesystem::path state_dir;  ///< empty: as `run` finds it
  bool wait = false;                ///< drain: until the node has ended
  std::string length;               ///< pause: "2h"; empty: until it is resumed
};
int status_command(Invocation invocation, const ControlOptions& options);
int drain_command(Invocation invocation, const ControlOptions& options);
int pause_command(Invocation invocation, const ControlOptions& options);
int resume_command(Invocation invocation, const ControlOptions& options);

struct MarketOptions {
  std::string listen = "127.0.0.1:8480";
  std::string public_url;           ///< empty: from the listener
  std::filesystem::path data;       ///< empty: under the state folder
  std::filesystem::path write_env;  ///< empty: not written
};
int market_command(Invocation invocation, MarketOptions options);

struct DevOptions {
  std::string listen = "127.0.0.1:8480";
  std::filesystem::path data;       ///< empty: under the state folder
  std::filesystem::path write_env;  ///< empty: <data>/client.env
};
int dev_command(Invocation invocation, DevOptions options);

struct JobSubmitOptions {
  std::string spec_file;  ///< "-": standard input; empty: the options below
  std::string capability;
  std::vector<std::string> inputs;  ///< files, or ids, names and URLs
  std::optional<std::string> meta;  ///< JSON, or @file; "{}"
  std::optional<int> count;         ///< 1
  std::string label;
  std::optional<std::int64_t> priority;
  std::optional<std::int64_t> max_attempts;
  std::string name;  ///< of the one file
  std::string type;  ///< of the files
  bool wait = false;
  std::filesystem::path out;  ///< empty: artifacts stay where they are
};
int job_submit_command(Invocation invocation, JobSubmitOptions options);

struct JobWatchOptions {
  std::string id;
  std::filesystem::path out;
};
int job_watch_command(Invocation invocation, JobWatchOptions options);
int job_show_command(Invocation invocation, std::string id);
int job_cancel_command(Invocation invocation, std::string id);

struct JobListOptions {
  std::string status;
  std::string capability;
  int limit = 20;
};
int job_list_command(Invocation invocation, JobListOptions options);

struct DataPutOptions {
  std::vector<std::string> files;
  std::string name;
  std::string type;
};
int data_put_command(Invocation invocation, DataPutOptions options);

struct DataGetOptions {
  std::string item;           ///< an id, or a name
  std::string type;           ///< tells two of one name apart
  std::filesystem::path out;  ///< a file or a folder; "-": standard output; empty: this folder
};
int data_get_command(Invocation invocation, DataGetOptions options);

struct DataListOptions {
  std::string name;
  std::string type;
};
int data_ls_command(Invocation invocation, DataListOptions options);
int data_rm_command(Invocation invocation, std::vector<std::string> items);

int keygen_command(const Invocation& invocation, const std::filesystem::path& out);
int capabilities_command(Invocation invocation);
/// `url`: what is asked instead of the node at STATUS_ADDR; empty: nothing.
int healthcheck_command(const Invocation& invocation, const std::string& url);
int version_command(const Invocation& invocation);

}  // namespace pn::bin
