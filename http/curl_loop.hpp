#pragma once

#include "base/awaitable.hpp"

#include <cstddef>
#include <memory>

namespace pn::http {

/// libcurl's multi handle on our loop: sockets are watched and timers kept by Asio, libcurl is told
/// when something is ready. Knows no HTTP.
///
/// libcurl must not be called from its own callbacks; so nobody is resumed inside one: a Waiter
/// only notes what it heard. Thread: the executor's one. Easy handles are void*, because
/// curl/curl.h stays out of headers.
class CurlLoop final {
 public:
  /// Hears the end of one transfer. The handle is out of the multi then, its connection pooled or
  /// closed.
  class Waiter {
   public:
    virtual ~Waiter() = default;
    virtual void finished(int curl_code) noexcept = 0;
  };

  /// Throws std::bad_alloc when libcurl cannot be set up.
  CurlLoop(Executor executor, std::size_t max_connections_per_host);
  ~CurlLoop();
  CurlLoop(const CurlLoop&) = delete;
  CurlLoop& operator=(const CurlLoop&) = delete;

  [[nodiscard]] const Executor& executor() const;

  /// Starts a transfer; as much of it as needs no waiting happens inside this call.
  void add(void* easy, Waiter& waiter);
  /// Ends a transfer at once, closing its connection; its Waiter hears nothing more.
  void remove(void* easy) noexcept;
  /// Lets a transfer go on whose callback had paused it.
  void resume(void* easy);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;  // shared with the handlers that Asio still holds when we go
};

}  // namespace pn::http
