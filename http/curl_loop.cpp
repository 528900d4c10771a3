#include "http/curl_loop.hpp"

#include "base/awaitable.hpp"

#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <new>
#include <unordered_map>
#include <utility>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <curl/curl.h>

namespace pn::http {
namespace {

/// How often libcurl may ask to be called again at once before others get their turn.
constexpr int kInlineRounds = 8;
/// Idle connections kept over all hosts.
constexpr long kPooledConnections = 32;

void init_curl_once() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

}  // namespace

struct CurlLoop::Impl : std::enable_shared_from_this<CurlLoop::Impl> {
  /// One socket of libcurl's that it wants to hear about. libcurl owns the descriptor; we give it
  /// back (release) before it closes it.
  struct Watch {
    Watch(const Executor& executor, int fd) : descriptor(executor, fd) {}
    asio::posix::stream_descriptor descriptor;
    int wants = CURL_POLL_NONE;
    bool reading = false;
    bool writing = false;
  };

  Impl(Executor ex, std::size_t max_per_host) : executor(std::move(ex)), timer(executor) {
    init_curl_once();
    multi = curl_multi_init();
    if (multi == nullptr) throw std::bad_alloc();
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, &Impl::socket_changed);
    curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, this);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, &Impl::timer_changed);
    curl_multi_setopt(multi, CURLMOPT_TIMERDATA, this);
    curl_multi_setopt(multi, CURLMOPT_MAX_HOST_CONNECTIONS, static_cast<long>(max_per_host));
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, kPooledConnections);
  }

  void close() {
    curl_multi_cleanup(multi);
    multi = nullptr;
    for (auto& [fd, watch] : watches) watch->descriptor.release();
    watches.clear();
    timer.cancel();
  }

  // --- called by libcurl: only notes and Asio calls, never libcurl again ---

  static int socket_changed(CURL*, curl_socket_t fd, int what, void* self, void*) {
    static_cast<Impl*>(self)->watch(fd, what);
    return 0;
  }

  static int timer_changed(CURLM*, long timeout_ms, void* self) {
    static_cast<Impl*>(self)->set_timer(timeout_ms);
    return 0;
  }

  void watch(int fd, int what) {
    auto found = watches.find(fd);
    if (what == CURL_POLL_REMOVE) {
      if (found == watches.end()) return;
      found->second->descriptor.release();
      watches.erase(found);
      return;
    }
    if (found == watches.end()) {
      found = watches.emplace(fd, std::make_shared<Watch>(executor, fd)).first;
    }
    found->second->wants = what;
    listen(found->second, fd);
  }

  void set_timer(long timeout_ms) {
    due_now = timeout_ms == 0;
    if (timeout_ms > 0) {
      due = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
      arm(due);
    } else {
      due = kNever;
    }
  }

  // --- called by Asio ---

  void listen(const std::shared_ptr<Watch>& watch, int fd) {
    using Descriptor = asio::posix::stream_descriptor;
    if ((watch->wants & CURL_POLL_IN) != 0 && !watch->reading) {
      watch->reading = true;
      watch->descriptor.async_wait(
          Descriptor::wait_read,
          [self = shared_from_this(), watch, fd](const boost::system::error_code&) {
            watch->reading = false;
            self->ready(watch, fd, CURL_POLL_IN);
          });
    }
    if ((watch->wants & CURL_POLL_OUT) != 0 && !watch->writing) {
      watch->writing = true;
      watch->descriptor.async_wait(
          Descriptor::wait_write,
          [self = shared_from_this(), watch, fd](const boost::system::error_code&) {
            watch->writing = false;
            self->ready(watch, fd, CURL_POLL_OUT);
          });
    }
  }

  /// The number may belong to another socket by now, so the watch itself is compared.
  [[nodiscard]] bool alive(const std::shared_ptr<Watch>& watch, int fd) const {
    const auto found = watches.find(fd);
    return found != watches.end() && found->second == watch;
  }

  void ready(const std::shared_ptr<Watch>& watch, int fd, int direction) {
    if (!alive(watch, fd)) return;
    if ((watch->wants & direction) != 0) {
      int running = 0;
      const int event = direction == CURL_POLL_IN ? CURL_CSELECT_IN : CURL_CSELECT_OUT;
      curl_multi_socket_action(multi, fd, event, &running);
      settle();
    }
    if (alive(watch, fd)) listen(watch, fd);
  }

  /// An earlier alarm is left as it is and looks again when it fires: libcurl moves its time-out
  /// with nearly every step.
  void arm(std::chrono::steady_clock::time_point at) {
    if (armed <= at) return;
    armed = at;
    timer.expires_at(at);
    timer.async_wait([self = shared_from_this()](const boost::system::error_code& failed) {
      if (!failed) self->alarm();
    });
  }

  void alarm() {
    armed = kNever;
    if (multi == nullptr) return;
    if (!due_now && due > std::chrono::steady_clock::now()) {
      if (due != kNever) arm(due);
      return;
    }
    due = kNever;
    due_now = true;
    settle();
  }

  /// Gives libcurl the calls that it asked for and hands out what has ended. Outside of callbacks
  /// only.
  void settle() {
    for (int round = 0; due_now && round < kInlineRounds; ++round) {
      due_now = false;
      int running = 0;
      curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      CURL* easy = message->easy_handle;
      const CURLcode code = message->data.result;
      void* waiter = nullptr;
      curl_easy_getinfo(easy, CURLINFO_PRIVATE, &waiter);
      detach(easy);
      static_cast<Waiter*>(waiter)->finished(code);
    }
    rest();
  }

  void detach(CURL* easy) {
    curl_multi_remove_handle(multi, easy);
    --live;
  }

  /// What could not be done inline waits for the next turn; an idle client leaves nothing pending.
  void rest() {
    if (due_now) arm(std::chrono::steady_clock::now());
    if (live == 0 && !due_now && due == kNever && armed != kNever) {
      armed = kNever;
      timer.cancel();
    }
  }

  static constexpr auto kNever = std::chrono::steady_clock::time_point::max();

  const Executor executor;
  CURLM* multi = nullptr;
  std::unordered_map<int, std::shared_ptr<Watch>> watches;  // shared with the handlers in flight
  asio::steady_timer timer;
  std::chrono::steady_clock::time_point due = kNever;
  std::chrono::steady_clock::time_point armed = kNever;
  bool due_now = false;
  std::size_t live = 0;
};

CurlLoop::CurlLoop(Executor executor, std::size_t max_connections_per_host)
    : impl_(std::make_shared<Impl>(std::move(executor), max_connections_per_host)) {}

CurlLoop::~CurlLoop() { impl_->close(); }

const Executor& CurlLoop::executor() const { return impl_->executor; }

void CurlLoop::add(void* easy, Waiter& waiter) {
  curl_easy_setopt(easy, CURLOPT_PRIVATE, static_cast<void*>(&waiter));
  if (curl_multi_add_handle(impl_->multi, easy) != CURLM_OK) throw std::bad_alloc();
  ++impl_->live;
  impl_->settle();
}

void CurlLoop::remove(void* easy) noexcept {
  impl_->detach(easy);
  impl_->rest();
}

void CurlLoop::resume(void* easy) {
  curl_easy_pause(easy, CURLPAUSE_CONT);
  impl_->settle();
}

}  // namespace pn::http
