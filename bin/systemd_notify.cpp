#include "bin/systemd_notify.hpp"

#include "base/file.hpp"
#include "base/time.hpp"
#include "bin/environment.hpp"
#include "bin/terminal.hpp"
#include "node/supervisor.hpp"

#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace pn::bin {
namespace {

class Systemd final : public node::Supervisor {
 public:
  Systemd(std::string_view name, std::optional<Millis> watchdog)
      : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)),
        watchdog_(watchdog) {
    address_.sun_family = AF_UNIX;
    std::memcpy(address_.sun_path, name.data(), name.size());
    if (name.front() == '@') address_.sun_path[0] = '\0';
    const std::size_t end = name.front() == '@' ? 0 : 1;
    size_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size() + end);
  }

  [[nodiscard]] std::optional<Millis> watchdog() const override { return watchdog_; }
  void ready() override { send("READY=1"); }
  void alive() override {
    if (watchdog_) send("WATCHDOG=1");
  }
  void stopping(Millis more) override {
    if (!std::exchange(stopping_, true)) send("STOPPING=1");
    const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(more);
    send("EXTEND_TIMEOUT_USEC=" + std::to_string(micros.count()));
  }
  void say(std::string_view line) override { send("STATUS=" + printable(line)); }

 private:
  void send(const std::string& text) const {
    ::sendto(socket_.get(),
             text.data(),
             text.size(),
             MSG_NOSIGNAL,
             reinterpret_cast<const sockaddr*>(&address_),
             size_);
  }

  const UniqueFd socket_;
  const std::optional<Millis> watchdog_;
  sockaddr_un address_{};
  socklen_t size_ = 0;
  bool stopping_ = false;
};

std::optional<std::int64_t> number_of(const Environment& environment, const std::string& name) {
  const std::optional<std::string> text = value_of(environment, name);
  std::int64_t out = 0;
  if (!text) return std::nullopt;
  const auto [end, failed] = std::from_chars(text->data(), text->data() + text->size(), out);
  if (failed != std::errc() || end != text->data() + text->size() || out <= 0) return std::nullopt;
  return out;
}

/// Nothing when it is not asked for, or of another process.
std::optional<Millis> watchdog_of(const Environment& environment) {
  const std::optional<std::int64_t> micros = number_of(environment, "WATCHDOG_USEC");
  const std::optional<std::int64_t> pid = number_of(environment, "WATCHDOG_PID");
  if (!micros || (pid && *pid != ::getpid())) return std::nullopt;
  return std::chrono::duration_cast<Millis>(std::chrono::microseconds(*micros));
}

}  // namespace

std::unique_ptr<node::Supervisor> systemd_supervisor(const Environment& environment) {
  const std::optional<std::string> name = value_of(environment, "NOTIFY_SOCKET");
  if (!name || name->size() >= sizeof(sockaddr_un::sun_path)) return nullptr;
  if ((name->front() != '/' && name->front() != '@') || name->size() < 2) return nullptr;
  return std::make_unique<Systemd>(*name, watchdog_of(environment));
}

}  // namespace pn::bin
