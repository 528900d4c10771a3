#include "bin/private_process.hpp"

#include <linux/prctl.h>
#include <sys/prctl.h>

namespace pn::bin {

void keep_memory_private() {
  // Cannot fail with this argument.
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

}  // namespace pn::bin
