#pragma once

#include "base/secret.hpp"

#include <memory>
#include <mutex>
#include <string>

namespace pn::storage {

/// The newest task token of one lease: written by the heartbeat on the control loop, read before
/// each storage request on the transfer loop. The one lock in the data plane, held for a string's
/// copy.
class TaskToken final {
 public:
  explicit TaskToken(Secret<std::string> first) : value_(std::move(first)) {}

  [[nodiscard]] Secret<std::string> get() const {
    const std::lock_guard lock(mutex_);
    return value_;
  }
  void set(Secret<std::string> newer) {
    const std::lock_guard lock(mutex_);
    value_ = std::move(newer);
  }

 private:
  mutable std::mutex mutex_;
  Secret<std::string> value_;
};

}  // namespace pn::storage
