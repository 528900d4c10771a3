#pragma once

namespace pn::bin {

/// From now on no other process of this user may read this one's memory and environment, where the
/// keys are: a runner's program (COLMAP) has the same user and reads what strangers sent. Also no
/// core dump, of this one and of what it starts. Programs that are started are not concerned: exec
/// makes them readable again. proc(5), /proc/pid: the files belong to root then, and ptrace is
/// refused.
void keep_memory_private();

}  // namespace pn::bin
