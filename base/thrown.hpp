#pragma once

#include <exception>
#include <string>

namespace pn {

/// Whether this is a cancellation: asio's operation_aborted. False for none.
bool is_aborted(const std::exception_ptr& thrown);

/// What an exception says of itself, for a log line.
std::string what_of(const std::exception_ptr& thrown);

}  // namespace pn
