#pragma once

#include "base/result.hpp"

#include <atomic>
#include <cstdint>
#include <limits>
#include <string>

namespace pn::storage {

/// The bytes of inputs that one task may bring onto the disk. Thread: any.
class InputBudget final {
 public:
  /// Zero: no limit.
  explicit InputBudget(std::uint64_t most)
      : most_(most == 0 ? std::numeric_limits<std::uint64_t>::max() : most) {}

  /// Kind `full`, code "task_disk_full", when so many are not left.
  Result<void> reserve(std::uint64_t bytes) {
    std::uint64_t used = used_;
    do {
      const std::uint64_t left = most_ - used;
      if (bytes > left) {
        return Error(ErrorKind::full,
                     "task_disk_full",
                     "an input of " + std::to_string(bytes) + " bytes does not fit: the task has " +
                         std::to_string(left) + " left (TASK_MAX_DISK_MB)");
      }
    } while (!used_.compare_exchange_weak(used, used + bytes));
    return {};
  }
  void give_back(std::uint64_t bytes) { used_ -= bytes; }

 private:
  const std::uint64_t most_;
  std::atomic<std::uint64_t> used_{0};
};

}  // namespace pn::storage
