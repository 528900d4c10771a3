#include "bin/cli.hpp"

#include "base/result.hpp"
#include "bin/commands.hpp"
#include "bin/environment.hpp"
#include "bin/exit_codes.hpp"
#include "bin/setting_help.hpp"
#include "bin/terminal.hpp"

#include <chrono>
#include <cmath>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <unistd.h>

namespace pn::bin {
namespace {

/// One run of the command line. Options live here until the chosen command takes them.
class CommandLine final {
 public:
  explicit CommandLine(Environment environment) {
    invocation_.environment = std::move(environment);
    invocation_.out = Terminal::of(STDOUT_FILENO, invocation_.environment);
    // At most one, and not exactly one: an unknown word is better named than "one is missing".
    app_.require_subcommand(0, 1);
    app_.set_version_flag("--version", [this] {
      version_command(invocation_);
      return std::string();
    });
    add_services();
    add_control();
    add_jobs();
    add_data();
    add_tools();
  }

  int run(int argc, const char* const* argv) {
    try {
      app_.parse(argc, argv);
    } catch (const CLI::CallForVersion&) {
      return checked(kExitOk);
    } catch (const CLI::Success& help) {
      std::ostringstream text;
      const int code = app_.exit(help, text, text);
      print(text.str());
      return checked(code == 0 ? kExitOk : kExitInternal);
    } catch (const CLI::ParseError& wrong) {
      complain(std::string(wrong.what()) + ". Try: " + name_of_chosen() + " --help");
      return kExitConfiguration;
    }
    if (chosen_) return checked(chosen_());
    complain("no command is given. Try: " + name_of_chosen() + " --help");
    return kExitConfiguration;
  }

 private:
  /// A command whose output was lost did not do what was asked.
  static int checked(int code) {
    const std::optional<Error>& lost = output_failure();
    if (code != kExitOk || !lost) return code;
    complain(*lost);
    return kExitInternal;
  }

  CLI::App* add(CLI::App& parent,
                const std::string& name,
                const std::string& what,
                std::function<int()> command) {
    CLI::App* added = parent.add_subcommand(name, what);
    added->add_flag("--json", invocation_.json, "print JSON");
    added->callback([this, command = std::move(command)] { chosen_ = command; });
    return added;
  }

  void takes_env_file(CLI::App* command) {
    command
        ->add_option("--env-file",
                     invocation_.env_file,
                     "KEY=VALUE lines as docker reads them; the real environment wins")
        ->type_name("FILE");
  }

  /// A group such as "job": nothing by itself.
  CLI::App* group(const std::string& name, const std::string& what) {
    CLI::App* added = app_.add_subcommand(name, what);
    added->require_subcommand(0, 1);
    return added;
  }

  std::string name_of_chosen() {
    std::string name = "posenode";
    const CLI::App* at = &app_;
    while (at != nullptr) {
      const std::vector<CLI::App*> parsed = at->get_subcommands();
      at = parsed.empty() ? nullptr : parsed.front();
      if (at != nullptr) name += " " + at->get_name();
    }
    return name;
  }

  void add_services() {
    CLI::App* run = add(app_, "run", "Run a compute node", [this] {
      const RunMode mode = run_once_ ? RunMode::once : RunMode::run;
      return run_command(invocation_, run_check_ ? RunMode::check : mode);
    });
    takes_env_file(run);
    run->add_flag("--once", run_once_, "do one task, if there is one, and end with its outcome");
    run->add_flag(
        "--check", run_check_, "only say what it would do with this configuration; no network");
    run->footer(run_settings_text);

    CLI::App* market = add(app_, "market", "Host a marketplace", [this] {
      return market_command(invocation_, market_);
    });
    takes_env_file(market);
    market->add_option("--listen", market_.listen, "where it listens")
        ->type_name("HOST:PORT")
        ->capture_default_str();
    market
        ->add_option(
            "--public-url", market_.public_url, "what nodes and tokens are told [the listener]")
        ->type_name("URL");
    market->add_option("--data", market_.data, "its folder")->type_name("DIR");
    market
        ->add_option("--write-env", market_.write_env, "writes what nodes and clients need (0600)")
        ->type_name("FILE");
    market->footer(market_settings_text);

    CLI::App* dev = add(app_, "dev", "Run a marketplace and a node on this machine alone", [this] {
      return dev_command(invocation_, dev_);
    });
    takes_env_file(dev);
    dev->add_option("--listen", dev_.listen, "where the marketplace listens")
        ->type_name("HOST:PORT")
        ->capture_default_str();
    dev->add_option("--data", dev_.data, "its folder")->type_name("DIR");
    dev->add_option("--write-env", dev_.write_env, "writes what clients need [DATA/client.env]")
        ->type_name("FILE");
  }

  /// The commands that speak with a running node by its control socket.
  void add_control() {
    using Command = int (*)(Invocation, const ControlOptions&);
    const auto control = [this](const char* name, const char* what, Command command) {
      CLI::App* added =
          add(app_, name, what, [this, command] { return command(invocation_, control_); });
      takes_env_file(added);
      added->add_option("--state-dir", control_.state_dir, "the node's folder [STATE_DIR]")
          ->type_name("DIR");
      return added;
    };
    control("status", "What a node on this machine does, and why", status_command);
    control("drain", "Have it finish its tasks and end", drain_command)
        ->add_flag("--wait", control_.wait, "until it has ended");
    control("pause", "Have it lease nothing for a while; what runs goes on", pause_command)
        ->add_option("--for", control_.length, "how long, such as 2h, 30m, 45s [until resume]")
        ->type_name("TIME");
    control("resume", "End a pause", resume_command);
  }

  void add_jobs() {
    CLI::App* job = group("job", "Submit and follow jobs");
    CLI::App* submit = add(*job, "submit", "Submit a job", [this] {
      return job_submit_command(invocation_, submit_);
    });
    takes_env_file(submit);
    submit->add_option("SPEC", submit_.spec_file, "a job spec in JSON, - for standard input");
    submit->add_option("--capability", submit_.capability, "what is to be done, such as /noop/v1")
        ->type_name("NAME");
    submit
        ->add_option("--input",
                     submit_.inputs,
                     "a file, which is sent, or the id or URL of a data item; may be repeated")
        ->type_name("FILE|ID")
        ->allow_extra_args(false);
    submit->add_option("--meta", submit_.meta, "the task's parameters, a JSON object or @FILE")
        ->type_name("JSON");
    submit->add_option("--count", submit_.count, "that many tasks of this kind, in one job")
        ->check(CLI::Range(1, 10000))
        ->default_str("1");
    submit->add_option("--label", submit_.label, "what the job is called");
    submit->add_option("--priority", submit_.priority, "higher goes first");
    submit->add_option("--max-attempts", submit_.max_attempts, "of each task")
        ->check(CLI::Range(1, 100));
    submit->add_option("--name", submit_.name, "the name of the one file sent");
    submit->add_option("--type", submit_.type, "the data type of the files sent");
    submit->add_flag("--wait", submit_.wait, "follow it to its end; Ctrl-C leaves it running");
    submit->add_option("--out", submit_.out, "put its artifacts into this folder (waits)")
        ->type_name("DIR");

    CLI::App* watch = add(*job, "watch", "Follow a job to its end", [this] {
      return job_watch_command(invocation_, watch_);
    });
    takes_env_file(watch);
    watch->add_option("JOB", watch_.id, "its id")->required();
    watch->add_option("--out", watch_.out, "put its artifacts into this folder")->type_name("DIR");

    CLI::App* show = add(*job, "show", "A job, its tasks, and why attempts failed", [this] {
      return job_show_command(invocation_, job_id_);
    });
    takes_env_file(show);
    show->add_option("JOB", job_id_, "its id")->required();

    CLI::App* cancel = add(*job, "cancel", "Cancel a job", [this] {
      return job_cancel_command(invocation_, job_id_);
    });
    takes_env_file(cancel);
    cancel->add_option("JOB", job_id_, "its id")->required();

    CLI::App* list = add(*job, "list", "The domain's jobs, newest first", [this] {
      return job_list_command(invocation_, list_);
    });
    takes_env_file(list);
    list->add_option("--status", list_.status, "only these")
        ->check(CLI::IsMember({"pending", "running", "completed", "failed", "canceled"}));
    list->add_option("--capability", list_.capability, "only with a task of it");
    list->add_option("--limit", list_.limit, "at most so many")
        ->check(CLI::Range(1, 100000))
        ->capture_default_str();
  }

  void add_data() {
    CLI::App* data = group("data", "A domain's data");
    CLI::App* put =
        add(*data, "put", "Send files", [this] { return data_put_command(invocation_, put_); });
    takes_env_file(put);
    put->add_option("FILE", put_.files, "what to send")->required();
    put->add_option("--name", put_.name, "instead of <stem>_<digest>");
    put->add_option("--type", put_.type, "instead of the extension's");

    CLI::App* get =
        add(*data, "get", "Fetch an item", [this] { return data_get_command(invocation_, get_); });
    takes_env_file(get);
    get->add_option("ITEM", get_.item, "its id or name")->required();
    get->add_option("--type", get_.type, "tells two of one name apart");
    get->add_option("-o,--out", get_.out, "a file or a folder, - for standard output");

    CLI::App* ls = add(
        *data, "ls", "List what is there", [this] { return data_ls_command(invocation_, ls_); });
    takes_env_file(ls);
    ls->add_option("--name", ls_.name, "only of this name");
    ls->add_option("--type", ls_.type, "only of this type");

    CLI::App* rm =
        add(*data, "rm", "Remove items", [this] { return data_rm_command(invocation_, rm_); });
    takes_env_file(rm);
    rm->add_option("ITEM", rm_, "ids or names")->required();
  }

  void add_tools() {
    CLI::App* doctor = add(app_, "doctor", "Find out why a node earns nothing", [this] {
      return doctor_command(
          invocation_,
          {.timeout = std::chrono::milliseconds(std::llround(doctor_timeout_secs_ * 1000))});
    });
    takes_env_file(doctor);
    doctor->add_option("--timeout", doctor_timeout_secs_, "the most that one check may take")
        ->type_name("SECS")
        ->check(CLI::Range(0.1, 15.0))
        ->capture_default_str();
    CLI::App* keygen = add(app_, "keygen", "Make a node's private key", [this] {
      return keygen_command(invocation_, key_file_);
    });
    keygen->add_option("--out", key_file_, "write it there (0600), for SECP256K1_PRIVHEX_FILE")
        ->type_name("FILE");
    CLI::App* capabilities = add(app_, "capabilities", "What a node could run here", [this] {
      return capabilities_command(invocation_);
    });
    takes_env_file(capabilities);
    CLI::App* health =
        add(app_, "healthcheck", "Ask the node at STATUS_ADDR whether it is alive", [this] {
          return healthcheck_command(invocation_, health_url_);
        });
    health->add_option("--url", health_url_, "ask this instead, such as a market's /health")
        ->type_name("URL");
    add(app_, "version", "Which build this is", [this] { return version_command(invocation_); });
  }

  CLI::App app_{"A compute node for a domain marketplace, and the marketplace itself.", "posenode"};
  Invocation invocation_;
  std::function<int()> chosen_;
  bool run_once_ = false;
  ControlOptions control_;
  bool run_check_ = false;
  double doctor_timeout_secs_ = 5;
  MarketOptions market_;
  DevOptions dev_;
  JobSubmitOptions submit_;
  JobWatchOptions watch_;
  std::string job_id_;
  std::string health_url_;
  JobListOptions list_;
  DataPutOptions put_;
  DataGetOptions get_;
  DataListOptions ls_;
  std::vector<std::string> rm_;
  std::filesystem::path key_file_;
};

}  // namespace

int run_cli(int argc, const char* const* argv, Environment environment) {
  // Too large for the stack, with its many options.
  const auto line = std::make_unique<CommandLine>(std::move(environment));
  return line->run(argc, argv);
}

}  // namespace pn::bin
