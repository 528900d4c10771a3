// A long line on one machine: passes TCP connections of loopback on to another port of it, each
// byte later. For where the kernel has no netem.
//
//   delay_proxy LISTEN_PORT PORT RTT_MS [WINDOW_KIB]
//
// Half of RTT_MS each way. Like a TCP connection over such a line, one direction has at most
// WINDOW_KIB under way: what was read counts until its acknowledgement could be back. The default
// is Linux's largest send buffer (tcp_wmem). There is no slow start and no loss, both of which
// would slow a single stream more than several.

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kPiece = 128U << 10;

struct Line {
  Clock::duration one_way;
  std::size_t window;
};

/// One direction of one connection: read() here, write() `one_way` later.
class Direction {
 public:
  Direction(int from, int to, const Line& line) : from_(from), to_(to), line_(line) {}

  void read() {
    for (;;) {
      wait_for_room();
      std::vector<char> bytes(kPiece);
      const ssize_t got = ::recv(from_, bytes.data(), bytes.size(), 0);
      bytes.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
      const bool ended = bytes.empty();
      const std::lock_guard lock(mutex_);
      const Clock::time_point now = Clock::now();
      under_way_.push_back({now + 2 * line_.one_way, bytes.size()});
      bytes_under_way_ += bytes.size();
      pieces_.push_back({now + line_.one_way, std::move(bytes)});
      changed_.notify_all();
      if (ended || broken_) return;
    }
  }

  void write() {
    for (;;) {
      const Piece piece = next();
      std::this_thread::sleep_until(piece.due);
      if (piece.bytes.empty()) break;
      std::size_t at = 0;
      while (at < piece.bytes.size()) {
        const ssize_t put =
            ::send(to_, piece.bytes.data() + at, piece.bytes.size() - at, MSG_NOSIGNAL);
        if (put <= 0) break;
        at += static_cast<std::size_t>(put);
      }
      if (at == piece.bytes.size()) continue;
      ::shutdown(from_, SHUT_RD);  // wakes the reader, which then ends
      const std::lock_guard lock(mutex_);
      broken_ = true;
      break;
    }
    ::shutdown(to_, SHUT_WR);
  }

 private:
  struct Piece {
    Clock::time_point due;
    std::vector<char> bytes;  ///< none: the end
  };
  struct Sent {
    Clock::time_point acknowledged;
    std::size_t bytes;
  };

  void wait_for_room() {
    for (;;) {
      Clock::time_point until;
      {
        const std::lock_guard lock(mutex_);
        while (!under_way_.empty() && under_way_.front().acknowledged <= Clock::now()) {
          bytes_under_way_ -= under_way_.front().bytes;
          under_way_.pop_front();
        }
        if (bytes_under_way_ + kPiece <= line_.window) return;
        until = under_way_.front().acknowledged;
      }
      std::this_thread::sleep_until(until);
    }
  }

  Piece next() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !pieces_.empty(); });
    Piece piece = std::move(pieces_.front());
    pieces_.pop_front();
    return piece;
  }

  const int from_;
  const int to_;
  const Line line_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Piece> pieces_;
  std::deque<Sent> under_way_;
  std::size_t bytes_under_way_ = 0;
  bool broken_ = false;
};

sockaddr_in loopback(int port) {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_port = htons(static_cast<std::uint16_t>(port));
  out.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return out;
}

void serve(int client, int port, Line line) {
  const int server = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = loopback(port);
  const int on = 1;
  ::setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (::connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    Direction up(client, server, line);
    Direction down(server, client, line);
    std::thread up_reads([&] { up.read(); });
    std::thread up_writes([&] { up.write(); });
    std::thread down_reads([&] { down.read(); });
    down.write();
    up_reads.join();
    up_writes.join();
    down_reads.join();
  }
  ::close(server);
  ::close(client);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "delay_proxy LISTEN_PORT PORT RTT_MS [WINDOW_KIB]\n");
    return 2;
  }
  const int port = std::atoi(argv[2]);
  const std::size_t window_kib = argc > 4 ? std::strtoul(argv[4], nullptr, 10) : 4096;
  const Line line{.one_way = std::chrono::microseconds(std::atoi(argv[3]) * 500),
                  .window = std::max(window_kib << 10, kPiece)};
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const sockaddr_in address = loopback(std::atoi(argv[1]));
  if (::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener, 128) != 0) {
    std::fprintf(stderr, "delay_proxy: port %s: %s\n", argv[1], std::strerror(errno));
    return 1;
  }
  for (;;) {
    const int client = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) continue;
    std::thread([client, port, line] { serve(client, port, line); }).detach();
  }
}
