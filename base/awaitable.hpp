#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

namespace pn {

namespace asio = boost::asio;

/// The result type of everything that can wait. Lazy: nothing runs before it is awaited. Ended
/// early only by terminal cancellation, which travels as an `operation_aborted` exception through
/// destructors and is never made an Error.
template <class T>
using Awaitable = asio::awaitable<T>;

using Executor = asio::any_io_executor;

}  // namespace pn
