#include "bin/private_process.hpp"

#include <linux/prctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>

namespace pn::bin {

void keep_memory_private() {
  // Cannot fail with this argument.
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  const rlimit nothing{.rlim_cur = 0, .rlim_max = 0};
  ::setrlimit(RLIMIT_CORE, &nothing);
}

}  // namespace pn::bin
