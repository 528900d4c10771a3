#pragma once

#include "bin/environment.hpp"
#include "node/supervisor.hpp"

#include <memory>

namespace pn::bin {

/// systemd, as sd_notify(3) speaks to it: datagrams to NOTIFY_SOCKET (a path, or @ and an abstract
/// name), a watchdog by WATCHDOG_USEC where WATCHDOG_PID is ours or absent. Null when the
/// environment names no socket. A message that cannot be sent is lost: there is nobody to tell.
std::unique_ptr<node::Supervisor> systemd_supervisor(const Environment& environment);

}  // namespace pn::bin
