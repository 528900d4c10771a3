#include "base/awaitable.hpp"
#include "base/file.hpp"
#include "base/ids.hpp"
#include "base/json.hpp"
#include "base/nursery.hpp"
#include "base/result.hpp"
#include "bin/client_run.hpp"
#include "bin/commands.hpp"
#include "bin/domain_data.hpp"
#include "bin/exit_codes.hpp"
#include "bin/job_follow.hpp"
#include "bin/job_spec.hpp"
#include "bin/terminal.hpp"
#include "storage/cid.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <boost/asio/this_coro.hpp>
#include <nlohmann/json.hpp>
#include <unistd.h>

namespace pn::bin {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kSpecLimit = 2 * 1024 * 1024;
constexpr std::size_t kUploadsAtOnce = 4;

Error bad_usage(std::string what) { return {ErrorKind::rejected, "usage", std::move(what)}; }

bool is_reference(std::string_view text) {
  return storage::is_uuid(text) || text.starts_with("http://") || text.starts_with("https://") ||
         text.starts_with("/api/v1/domains/");
}

/// One `--input`: a file to send, or a reference that stands as it is.
struct InputArgument {
  fs::path file;  ///< empty: a reference
  std::string cid;
};

Result<std::vector<InputArgument>> read_inputs(const std::vector<std::string>& arguments) {
  std::vector<InputArgument> out;
  for (const std::string& argument : arguments) {
    std::error_code failed;
    if (fs::is_regular_file(argument, failed)) {
      out.push_back({argument, ""});
    } else if (fs::is_directory(argument, failed)) {
      return bad_usage("--input " + argument + ": is a folder. Name its files, one --input each");
    } else if (is_reference(argument)) {
      out.push_back({{}, argument});
    } else {
      return bad_usage("--input " + argument +
                       ": there is no such file, and it is no id or URL of a data item");
    }
  }
  return out;
}

/// What several uploads share. Each worker takes the next file until none is left or one failed.
struct Uploads {
  std::vector<InputArgument> inputs;
  std::size_t next = 0;
  std::size_t sent = 0;
  std::size_t reused = 0;
  std::optional<Error> failed;
};

Awaitable<void> upload_some(Client& client, const JobSubmitOptions& options, Uploads& uploads) {
  while (uploads.next < uploads.inputs.size() && !uploads.failed) {
    InputArgument& input = uploads.inputs[uploads.next++];
    if (input.file.empty()) continue;
    const Result<PutFile> put = co_await client.data.put(input.file, options.name, options.type);
    if (!put) {
      uploads.failed = within("sending " + input.file.string(), put.error());
      co_return;
    }
    input.cid = put->item.id.str();
    ++(put->reused ? uploads.reused : uploads.sent);
  }
}

Awaitable<Result<std::vector<std::string>>> upload_all(Client& client,
                                                       const JobSubmitOptions& options,
                                                       std::vector<InputArgument> inputs,
                                                       bool quiet) {
  Uploads uploads;
  uploads.inputs = std::move(inputs);
  const Executor executor = co_await asio::this_coro::executor;
  Nursery workers(executor);
  const std::size_t count = std::min(kUploadsAtOnce, uploads.inputs.size());
  for (std::size_t i = 0; i < count; ++i) {
    workers.spawn("upload", upload_some(client, options, uploads));
  }
  co_await workers.join();
  if (uploads.failed) co_return *uploads.failed;
  if (!quiet && uploads.sent + uploads.reused > 0) {
    print(std::to_string(uploads.sent + uploads.reused) +
          (uploads.sent + uploads.reused == 1 ? " input: " : " inputs: ") +
          std::to_string(uploads.sent) + " sent, " + std::to_string(uploads.reused) +
          " there already\n");
  }
  std::vector<std::string> cids;
  cids.reserve(uploads.inputs.size());
  for (InputArgument& input : uploads.inputs) cids.push_back(std::move(input.cid));
  co_return cids;
}

Result<std::string> read_argument_file(const fs::path& file) {
  if (file != "-") return read_file(file, kSpecLimit);
  std::string out;
  std::array<char, 16 * 1024> buffer{};
  for (;;) {
    const Result<std::size_t> got = read_some(STDIN_FILENO, buffer);
    if (!got) return got.error();
    if (*got == 0) return out;
    out.append(buffer.data(), *got);
    if (out.size() > kSpecLimit) return bad_usage("standard input holds more than 2 MiB");
  }
}

/// Those that say what the job is: "--capability, --count".
std::string job_options(const JobSubmitOptions& options) {
  std::string out;
  const auto given = [&](bool is_given, std::string_view name) {
    if (is_given) out += (out.empty() ? "" : ", ") + std::string(name);
  };
  given(!options.capability.empty(), "--capability");
  given(!options.inputs.empty(), "--input");
  given(options.meta.has_value(), "--meta");
  given(options.count.has_value(), "--count");
  given(!options.label.empty(), "--label");
  given(options.priority.has_value(), "--priority");
  given(options.max_attempts.has_value(), "--max-attempts");
  given(!options.name.empty(), "--name");
  given(!options.type.empty(), "--type");
  return out;
}

/// Everything that can be wrong before the marketplace is asked.
struct Plan {
  std::string spec_text;  ///< of the file; empty: the options
  std::string meta = "{}";
  std::vector<InputArgument> inputs;
};

Result<Plan> make_plan(const JobSubmitOptions& options) {
  Plan plan;
  if (!options.spec_file.empty()) {
    const std::string beside = job_options(options);
    if (!beside.empty()) {
      return bad_usage("a spec file says all of a job; it cannot stand beside " + beside);
    }
    Result<std::string> text = read_argument_file(options.spec_file);
    if (!text) return std::move(text).error();
    plan.spec_text = std::move(*text);
    const Result<Json> spec = parse_json(plan.spec_text);
    if (!spec) return within(options.spec_file, bad_usage(spec.error().detail));
    return plan;
  }
  if (options.capability.empty()) {
    return bad_usage("nothing to submit. Give a spec file, or --capability");
  }
  if (!options.capability.starts_with('/')) {
    return bad_usage("--capability " + options.capability + ": looks like /name/v1");
  }
  plan.meta = options.meta.value_or("{}");
  if (plan.meta.starts_with('@')) {
    Result<std::string> text = read_argument_file(plan.meta.substr(1));
    if (!text) return within("--meta", std::move(text).error());
    plan.meta = std::move(*text);
  }
  const Result<Json> meta = parse_json(plan.meta);
  if (!meta || !meta->is_object()) {
    return bad_usage("--meta: is no JSON object. An example: --meta '{\"profile\":\"fast\"}'");
  }
  Result<std::vector<InputArgument>> inputs = read_inputs(options.inputs);
  if (!inputs) return std::move(inputs).error();
  plan.inputs = std::move(*inputs);
  const auto files = std::count_if(plan.inputs.begin(), plan.inputs.end(), [](const auto& input) {
    return !input.file.empty();
  });
  if (!options.name.empty() && files > 1) {
    return bad_usage("--name: one name cannot stand for " + std::to_string(files) + " files");
  }
  return plan;
}

/// What is left of the command when it is interrupted.
struct Submitted {
  bool asked = false;  ///< the marketplace may have it
  std::optional<JobId> id;
};

Awaitable<Result<Json>> build_spec(Client& client,
                                   const Invocation& invocation,
                                   const JobSubmitOptions& options,
                                   Plan plan) {
  const DomainId& domain = client.session.settings().domain;
  if (!plan.spec_text.empty()) co_return read_spec(plan.spec_text, options.spec_file, domain);
  Result<std::vector<std::string>> cids =
      co_await upload_all(client, options, std::move(plan.inputs), invocation.json);
  if (!cids) co_return std::move(cids).error();
  SimpleJob job;
  job.capability = Capability(options.capability);
  job.label = options.label;
  job.inputs = std::move(*cids);
  job.meta_json = std::move(plan.meta);
  job.count = options.count.value_or(1);
  job.priority = options.priority;
  job.max_attempts = options.max_attempts;
  co_return make_spec(job, domain);
}

Awaitable<int> submit(Client& client,
                      const Invocation& invocation,
                      const JobSubmitOptions& options,
                      Plan plan,
                      Submitted& submitted) {
  Result<Json> spec = co_await build_spec(client, invocation, options, std::move(plan));
  if (!spec) co_return failed(spec.error());
  std::string text = dump_json(*spec);
  submitted.asked = true;
  const Result<JobId> id = co_await client.jobs.submit(std::move(text));
  if (!id) co_return failed(id.error());
  submitted.id = *id;
  const bool follow = options.wait || !options.out.empty();
  if (!invocation.json) {
    print("job " + id->str() + " submitted\n");
  } else if (!follow) {
    Json answer;
    answer["job_id"] = id->str();
    print(dump_json(answer) + "\n");
  }
  if (!follow) co_return kExitOk;
  const int code = co_await follow_job(client, invocation, *id, options.out);
  co_return code;
}

}  // namespace

int job_submit_command(Invocation invocation, JobSubmitOptions options) {
  Result<Plan> plan = make_plan(options);
  if (!plan) {
    complain(plan.error());
    return kExitConfiguration;
  }
  Submitted submitted;
  const auto command = [&](Client& client) {
    return submit(client, invocation, options, *plan, submitted);
  };
  const auto interrupted = [&] {
    if (submitted.id) {
      const std::string text = "\n" + detached_text(*submitted.id);
      const Result<void> written = write_all(STDERR_FILENO, text);
      static_cast<void>(written.ok());
      return kExitNotReady;
    }
    if (submitted.asked) {
      complain(
          "interrupted while the job was being submitted: it may be there and go on. posenode job "
          "list tells");
      return kExitNotReady;
    }
    complain("interrupted before the job was submitted");
    return kExitTemporary;
  };
  return run_client(invocation, command, interrupted);
}

int job_watch_command(Invocation invocation, JobWatchOptions options) {
  const JobId id(options.id);
  const auto command = [&](Client& client) {
    return follow_job(client, invocation, id, options.out);
  };
  const auto interrupted = [&] {
    const std::string text = "\n" + detached_text(id);
    const Result<void> written = write_all(STDERR_FILENO, text);
    static_cast<void>(written.ok());
    return kExitNotReady;
  };
  return run_client(invocation, command, interrupted);
}

}  // namespace pn::bin
