#pragma once

#include "runners/runner.hpp"

#include <chrono>
#include <memory>

namespace pn::runners {

struct NoopOptions {
  std::chrono::milliseconds sleep{5'000};  ///< NOOP_SLEEP_SECS
};

/// A runner that does nothing, visibly: CI lets it stand in for any other, under any capability.
///
/// It fetches the inputs, puts an artifact when asked, reports progress and sleeps. Task `meta`,
/// all optional, unknown keys ignored (they are meant for the runner it stands in for):
/// `sleep_secs` (number), `output_bytes` (size of the artifact `noop.bin`), `fail` (text: fail with
/// this reason, after everything else).
std::unique_ptr<Runner> make_noop_runner(NoopOptions options);

}  // namespace pn::runners
