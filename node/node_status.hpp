#pragma once

#include "base/ids.hpp"
#include "base/time.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace pn::node {

/// What a node says of itself: one value for /status.json, the page, `posenode status` and /readyz,
/// so that they cannot disagree. Made on the control loop when asked for; holds no secret. The JSON
/// (status_json.cpp) is frozen: docs/reference/status.md.

/// One thing that must be right for a node to be of use.
struct Check {
  std::string name;  ///< "token", "poll", "disk", "clock", "outbox", "pause", "drain"
  bool ok = false;
  std::string detail;  ///< for people; never a secret
};

/// An operator's word to lease nothing for a while; it outlives the process (pause_file.hpp).
struct Pause {
  std::optional<SystemTime> until;  ///< nothing: until somebody resumes it

  friend bool operator==(const Pause&, const Pause&) = default;
};

/// A lease at hand.
struct SlotStatus {
  TaskId task;
  JobId job;
  Capability capability;
  int attempt = 1;
  int max_attempts = 1;
  std::string phase;  ///< "set_up", "running", "flushing", "reporting", "stopping", "cleaning_up"
  Millis age{0};      ///< since the lease
  std::string progress_json = "{}";  ///< the latest, a JSON text of the runner's
  std::optional<Millis> lease_left;  ///< until the fence; nothing when the server named no time
  int heartbeat_failures = 0;        ///< in a row
  bool lingers = false;              ///< it only waits for its receipt: its slot is free
};

/// A task that has ended here.
struct PastTask {
  TaskId task;
  JobId job;
  Capability capability;
  int attempt = 1;
  std::string outcome;  ///< "completed", "failed", "canceled", "lost", "fenced"
  std::string reason;   ///< of a failure
  std::string error;    ///< for people
  SystemTime ended_at{};
  Millis took{0};
};

/// An outcome that a server will not take.
struct SetAside {
  TaskId task;
  std::string outcome;
  std::string answer;  ///< what the server said, or that it was too old
  SystemTime at{};
};

struct OutboxStatus {
  std::size_t pending = 0;
  std::optional<Millis> oldest;  ///< age of the oldest pending one
  std::size_t set_aside = 0;
  std::vector<SetAside> last_set_aside;  ///< at most 20, newest first
  std::string last_error;  ///< of the last send that failed; empty after one that did not
  bool durable = true;     ///< false: the disk does not take it, outcomes are in memory
};

struct DiskStatus {
  std::string folder;  ///< "work", "state"
  std::string path;
  std::uint64_t free_bytes = 0;
  int used_pct = 0;
  int inodes_used_pct = 0;
  std::string fault;  ///< why nothing is leased for it; empty: enough room
};

/// Inputs that are kept for other tasks.
struct CacheStatus {
  std::string path;
  std::uint64_t bytes = 0;
  std::uint64_t max_bytes = 0;
  std::size_t entries = 0;
  std::uint64_t hits = 0;  ///< since the start, as the next two
  std::uint64_t misses = 0;
  std::uint64_t evicted_bytes = 0;  ///< gone for room
};

struct CapabilityStatus {
  Capability capability;
  std::size_t busy = 0;
  std::optional<std::size_t> cap;
  std::string paused;  ///< why the breaker keeps it from being leased; empty: it is leased
};

struct NodeStatus {
  std::string version;
  std::string address;  ///< the wallet's
  std::string dms;
  std::string dds;
  std::string status_url;  ///< where the page is, as this machine reaches it
  SystemTime started_at{};
  SystemTime now{};
  /// "starting", "leasing", "full", "waiting", "paused", "draining"
  std::string state;
  /// Why it does not lease; empty while it does. For people, each with its remedy.
  std::vector<std::string> reasons;
  std::vector<Check> checks;
  std::size_t slots = 1;
  std::vector<SlotStatus> busy;
  std::vector<CapabilityStatus> capabilities;
  std::vector<PastTask> past;  ///< at most 50, newest first
  OutboxStatus outbox;
  std::vector<DiskStatus> disks;
  std::optional<CacheStatus> cache;  ///< nothing: there is none
  std::optional<Millis> clock_skew;  ///< the server's clock less ours; nothing before an answer
  std::optional<Pause> pause;
};

/// Slots that are taken: what lingers takes none.
std::size_t taken_slots(const NodeStatus& status);

}  // namespace pn::node
