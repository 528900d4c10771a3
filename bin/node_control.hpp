#pragma once

#include "base/awaitable.hpp"
#include "base/clock.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "bin/commands.hpp"
#include "http/client.hpp"
#include "http/unix_socket.hpp"

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

namespace pn::bin {

/// A node on this machine, by the control socket in its STATE_DIR (node/control_server.hpp).
class NodeControl final {
 public:
  /// Kind `not_found`, code "no_node", when there is no such folder.
  static Result<std::unique_ptr<NodeControl>> open(Executor executor,
                                                   const std::filesystem::path& state_dir);

  /// The status that it answers, as JSON. Kind `not_found`, code "no_node": none runs there;
  /// `rejected`: it refuses what was asked, or (code "no_control_socket") cannot be asked; `retry`:
  /// it does not answer.
  Awaitable<Result<Json>> status();
  Awaitable<Result<Json>> order(std::string name, std::string body);

 private:
  NodeControl(std::filesystem::path state_dir,
              http::UnixPath path,
              std::unique_ptr<http::HttpClient> client);
  Awaitable<Result<Json>> ask(http::Request request);
  [[nodiscard]] Error why_silent() const;

  const std::filesystem::path state_dir_;
  const http::UnixPath path_;
  const std::unique_ptr<http::HttpClient> client_;
};

/// Where `posenode run` keeps its state, by the same rules: `given` when not empty, else STATE_DIR,
/// else the default. Empty when there is no home.
std::filesystem::path state_dir_of(const Environment& environment,
                                   const std::filesystem::path& given);

/// Runs `command` on a loop of its own with the node of this STATE_DIR, and answers its exit code;
/// without a node says so.
int run_control(Invocation& invocation,
                const std::filesystem::path& state_dir,
                const std::function<Awaitable<int>(NodeControl&, Clock&)>& command);

}  // namespace pn::bin
