// Multipart parsing alone, beside memcpy of the same bytes in the same pieces: GB/s and their
// ratio.
//
//   multipart_rate [MIB]
//
// The body is made of random bytes in a ring that is larger than the processor's caches, and is fed
// in pieces of 64 to 128 KiB, as a download brings them. One round of each in turn; medians. Time
// is this thread's on the processor, so that a busy machine does not tell.

#include "http/multipart.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <time.h>

namespace {

using pn::http::MultipartReader;

constexpr std::size_t kRing = 256U << 20;
constexpr std::size_t kLeastPiece = 64U << 10;
constexpr std::size_t kMostPiece = 128U << 10;
constexpr int kRounds = 7;
constexpr const char* kBoundary = "posenode-0123456789abcdef0123456789abcdef";

std::string random_bytes(std::size_t count) {
  std::mt19937_64 rng(20261128);
  std::string out(count, '\0');
  for (std::size_t i = 0; i + 8 <= count; i += 8) {
    const std::uint64_t word = rng();
    std::memcpy(out.data() + i, &word, sizeof word);
  }
  return out;
}

std::string head(std::uint64_t size, std::uint64_t number) {
  const std::string id = "00000000-0000-4000-8000-" + std::to_string(100'000'000'000 + number);
  return pn::http::part_head(kBoundary,
                             "application/octet-stream",
                             {{"name", "scan_" + std::to_string(number)},
                              {"data-type", "refined_scan_zip"},
                              {"id", id},
                              {"domain-id", "6b0f4b7e-3d0a-4d5e-9c1a-0123456789ab"},
                              {"size", std::to_string(size)},
                              {"created-at", "2026-11-21T10:00:00.000Z"},
                              {"updated-at", "2026-11-21T10:00:00.000Z"}});
}

/// One period of the body; the body is `times` of it, and the closing delimiter.
struct Body {
  std::string text;
  std::uint64_t times = 1;

  [[nodiscard]] std::uint64_t size() const { return text.size() * times; }
};

/// Pieces of the sizes that a socket gives: the same ones for both contestants.
template <class Take>
void in_pieces(std::string_view text, Take take) {
  std::minstd_rand rng(7);
  std::uniform_int_distribution<std::size_t> length(kLeastPiece, kMostPiece);
  while (!text.empty()) {
    const std::string_view piece = text.substr(0, length(rng));
    take(piece);
    text.remove_prefix(piece.size());
  }
}

std::uint64_t read_events(MultipartReader& reader, std::string_view piece) {
  using What = MultipartReader::What;
  std::uint64_t bytes = 0;
  reader.feed(piece);
  for (;;) {
    const pn::Result<MultipartReader::Event> event = reader.next();
    if (!event.ok()) throw std::runtime_error(pn::to_string(event.error()));
    if (event->what == What::need_input || event->what == What::end) return bytes;
    if (event->what == What::data) bytes += event->data.size();
  }
}

std::uint64_t parse(const Body& body, MultipartReader::Delimit delimit) {
  MultipartReader reader(kBoundary, delimit);
  std::uint64_t bytes = 0;
  for (std::uint64_t i = 0; i < body.times; ++i) {
    in_pieces(body.text, [&](std::string_view piece) { bytes += read_events(reader, piece); });
  }
  bytes += read_events(reader, pn::http::closing_delimiter(kBoundary));
  if (!reader.finish().ok()) throw std::runtime_error("the body did not end");
  return bytes;
}

/// One part of `size` bytes: its payload goes through the ring again and again.
std::uint64_t parse_one(std::string_view ring, std::uint64_t size, MultipartReader::Delimit how) {
  MultipartReader reader(kBoundary, how);
  std::uint64_t bytes = read_events(reader, head(size, 1));
  for (std::uint64_t left = size; left > 0;) {
    const std::string_view round = ring.substr(0, std::min<std::uint64_t>(left, ring.size()));
    in_pieces(round, [&](std::string_view piece) { bytes += read_events(reader, piece); });
    left -= round.size();
  }
  bytes += read_events(reader, "\r\n" + pn::http::closing_delimiter(kBoundary));
  if (!reader.finish().ok()) throw std::runtime_error("the body did not end");
  return bytes;
}

void copy(std::string_view text, std::string& to) {
  in_pieces(text, [&](std::string_view piece) {
    std::memcpy(to.data(), piece.data(), piece.size());
    __asm__ volatile("" : : "g"(to.data()) : "memory");  // the copy is wanted, though nobody reads
  });
}

double now() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

template <class Work>
double seconds(Work work) {
  const double start = now();
  work();
  return now() - start;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

template <class Parse, class Copy>
void measure(const char* what, std::uint64_t bytes, Parse parse_all, Copy copy_all) {
  std::vector<double> parsing;
  std::vector<double> copying;
  std::vector<double> ratios;
  for (int i = 0; i < kRounds; ++i) {
    parsing.push_back(seconds(parse_all));
    copying.push_back(seconds(copy_all));
    ratios.push_back(copying.back() / parsing.back());
  }
  const double size = static_cast<double>(bytes) / 1e9;
  std::printf("%-44s %8.1f GB/s   memcpy %6.1f GB/s   %7.2f of memcpy's speed\n",
              what,
              size / median(parsing),
              size / median(copying),
              median(ratios));
}

void expect(std::uint64_t got, std::uint64_t want) {
  if (got != want) throw std::runtime_error("the reader lost bytes");
}

int run(std::uint64_t mib) {
  using Delimit = MultipartReader::Delimit;
  const std::uint64_t size = mib << 20;
  const std::string ring = random_bytes(kRing);
  std::string to(kMostPiece, '\0');
  const auto copy_ring = [&] {
    for (std::uint64_t left = size; left > 0;) {
      const std::string_view round =
          std::string_view(ring).substr(0, std::min<std::uint64_t>(left, ring.size()));
      copy(round, to);
      left -= round.size();
    }
  };
  const std::string name = "one part of " + std::to_string(mib) + " MiB, by ";
  measure((name + "size").c_str(),
          size,
          [&] { expect(parse_one(ring, size, Delimit::by_size), size); },
          copy_ring);
  measure((name + "boundary").c_str(),
          size,
          [&] { expect(parse_one(ring, size, Delimit::by_boundary), size); },
          copy_ring);

  constexpr std::size_t kSmall = 1024;
  Body small;
  const std::size_t count = kRing / 4 / kSmall;
  for (std::size_t i = 0; i < count; ++i) {
    small.text += head(kSmall, i);
    small.text.append(ring, i * kSmall, kSmall).append("\r\n");
  }
  small.times = std::max<std::uint64_t>(1, size / 4 / small.text.size());
  const auto copy_small = [&] {
    for (std::uint64_t i = 0; i < small.times; ++i) copy(small.text, to);
  };
  const std::uint64_t payload = small.times * count * kSmall;
  measure(
      "parts of 1 KiB, by size",
      small.size(),
      [&] { expect(parse(small, Delimit::by_size), payload); },
      copy_small);
  measure(
      "parts of 1 KiB, by boundary",
      small.size(),
      [&] { expect(parse(small, Delimit::by_boundary), payload); },
      copy_small);
  const double each =
      seconds([&] { parse(small, Delimit::by_size); }) / static_cast<double>(small.times * count);
  std::printf("%-44s %8.2f us a part, its %zu bytes of head included\n",
              "",
              each * 1e6,
              head(kSmall, 1).size());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1024);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "multipart_rate: %s\n", e.what());
    return 1;
  }
}
