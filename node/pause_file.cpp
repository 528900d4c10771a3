#include "node/pause_file.hpp"

#include "base/awaitable.hpp"
#include "base/file.hpp"
#include "base/json.hpp"
#include "base/offload.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "node/node_status.hpp"

#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>
#include <unistd.h>

namespace pn::node {

Result<std::optional<Pause>> PauseFile::read(const std::filesystem::path& state_dir) {
  const Result<std::string> text = read_file(state_dir / "pause.json", 4096);
  if (!text) {
    if (text.error().kind == ErrorKind::not_found) return std::optional<Pause>();
    return within("STATE_DIR", text.error());
  }
  const Result<Json> json = parse_json(*text);
  Pause out;
  if (json && json->is_object()) {
    JsonFields fields(*json, "pause.json");
    out.until = fields.time("until");
  }
  return std::optional<Pause>(out);
}

Awaitable<Result<void>> PauseFile::keep(ThreadPool& io, std::optional<Pause> pause) {
  const std::uint64_t order = ++orders_;
  const auto work = [this, order, &pause] { return store(order, pause); };
  Result<void> kept = co_await offload(io, work);
  co_return kept;
}

Result<void> PauseFile::store(std::uint64_t order, const std::optional<Pause>& pause) {
  const std::lock_guard lock(mutex_);
  if (order < stored_) return {};  // a later one was quicker
  if (pause) {
    const Json body{{"until", pause->until ? Json(format_rfc3339(*pause->until)) : Json()}};
    const Result<void> written = write_file(path_, dump_json(body) + "\n", 0600);
    if (!written) return written;
  } else if (::unlink(path_.c_str()) != 0 && errno != ENOENT) {
    return from_errno(errno, "cannot remove " + path_.string());
  }
  stored_ = order;
  return {};
}

}  // namespace pn::node
