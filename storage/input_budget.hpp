#pragma once

#include "base/result.hpp"

#include <cstdint>
#include <limits>
#include <string>

namespace pn::storage {

/// The bytes of inputs that one task may bring onto the disk. Thread: one loop's.
class InputBudget final {
 public:
  /// Zero: no limit.
  explicit InputBudget(std::uint64_t most)
      : most_(most == 0 ? std::numeric_limits<std::uint64_t>::max() : most) {}

  [[nodiscard]] std::uint64_t left() const { return most_ - used_; }
  /// Kind `full`, code "task_disk_full", when so many are not left.
  Result<void> reserve(std::uint64_t bytes) {
    if (bytes > left()) return task_disk_full(bytes, left());
    used_ += bytes;
    return {};
  }
  void give_back(std::uint64_t bytes) { used_ -= bytes; }

  static Error task_disk_full(std::uint64_t bytes, std::uint64_t left) {
    return {ErrorKind::full,
            "task_disk_full",
            "an input of " + std::to_string(bytes) + " bytes does not fit: the task has " +
                std::to_string(left) + " left (TASK_MAX_DISK_MB)"};
  }

 private:
  const std::uint64_t most_;
  std::uint64_t used_ = 0;
};

}  // namespace pn::storage
