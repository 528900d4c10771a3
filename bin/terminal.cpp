#include "bin/terminal.hpp"

#include "base/file.hpp"
#include "base/result.hpp"
#include "bin/environment.hpp"
#include "bin/redaction.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/ioctl.h>
#include <unistd.h>

namespace pn::bin {
namespace {

std::string_view code_of(Colour colour) {
  switch (colour) {
    case Colour::none:
      return "";
    case Colour::red:
      return "\x1b[31m";
    case Colour::green:
      return "\x1b[32m";
    case Colour::yellow:
      return "\x1b[33m";
    case Colour::dim:
      return "\x1b[2m";
    case Colour::bold:
      return "\x1b[1m";
  }
  return "";
}

bool continues(char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; }

}  // namespace

Terminal Terminal::of(int fd, const Environment& environment) {
  Terminal out;
  out.tty = ::isatty(fd) == 1;
  const bool plain = value_of(environment, "NO_COLOR").has_value() ||
                     value_of(environment, "TERM").value_or("") == "dumb";
  out.colours = out.tty && !plain;
  winsize size{};
  if (out.tty && ::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) out.width = size.ws_col;
  return out;
}

std::string Terminal::paint(Colour colour, std::string_view text) const {
  if (!colours || colour == Colour::none) return std::string(text);
  return std::string(code_of(colour)) + std::string(text) + "\x1b[0m";
}

Colour status_colour(std::string_view status) {
  if (status == "completed" || status == "ready") return Colour::green;
  if (status == "failed" || status == "missing") return Colour::red;
  if (status == "canceled") return Colour::yellow;
  if (status == "running" || status == "leased") return Colour::bold;
  return Colour::none;
}

Table::Table(std::vector<std::string> heading) { rows_.push_back(std::move(heading)); }

void Table::add(std::vector<std::string> row) {
  row.resize(rows_.front().size());
  for (std::string& cell : row) cell = printable(cell);
  rows_.push_back(std::move(row));
}

std::string Table::text(const Terminal& terminal, std::size_t status_column) const {
  std::vector<std::size_t> widths(rows_.front().size(), 0);
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], columns(row[i]));
  }
  std::string out;
  for (std::size_t r = 0; r < rows_.size(); ++r) {
    std::string line;
    for (std::size_t i = 0; i < widths.size(); ++i) {
      const std::string& cell = rows_[r][i];
      Colour colour = Colour::none;
      if (r == 0) colour = Colour::dim;
      if (r != 0 && i == status_column) colour = status_colour(cell);
      line += cell.empty() ? cell : terminal.paint(colour, cell);
      if (i + 1 < widths.size()) line += std::string(widths[i] - columns(cell) + 2, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

std::string format_bytes(std::uint64_t bytes) {
  constexpr std::array<const char*, 5> kUnits{"KiB", "MiB", "GiB", "TiB", "PiB"};
  if (bytes < 1024) return std::to_string(bytes) + " B";
  double value = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  while (value >= 1023.95 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f %s", value, kUnits[unit]);
  return text.data();
}

std::string printable(std::string_view text) {
  std::string out(text);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const auto byte = static_cast<unsigned char>(out[i]);
    // C1 controls are 0xC2 0x80 to 0xC2 0x9F in UTF-8.
    const bool c1 = byte == 0xC2 && i + 1 < out.size() && continues(out[i + 1]) &&
                    static_cast<unsigned char>(out[i + 1]) < 0xA0;
    if (byte < 0x20 || byte == 0x7F) {
      out[i] = '?';
    } else if (c1) {
      out[i] = '?';
      out[i + 1] = '?';
    }
  }
  return out;
}

std::size_t columns(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return !continues(c); }));
}

std::size_t bytes_in(std::string_view text, std::size_t width) {
  std::size_t at = 0;
  for (std::size_t seen = 0; at < text.size(); ++at) {
    if (!continues(text[at]) && seen++ == width) break;
  }
  return at;
}

std::string cut(std::string_view text, std::size_t width) {
  if (columns(text) <= width) return std::string(text);
  if (width == 0) return "";
  return std::string(text.substr(0, bytes_in(text, width - 1))) + "…";
}

std::optional<Error>& output_failure() {
  static std::optional<Error> first;
  return first;
}

void print(std::string_view text) {
  const Result<void> written = write_all(STDOUT_FILENO, text);
  // A closed pipe is the reader's choice.
  if (written.ok() || written.error() == from_errno(EPIPE, "cannot write")) return;
  std::optional<Error>& first = output_failure();
  if (!first) first = within("standard output", written.error());
}

void complain(std::string_view text) {
  const std::string line = "posenode: " + redactor()->clean(text) + "\n";
  const Result<void> written = write_all(STDERR_FILENO, line);
  static_cast<void>(written.ok());
}

void complain(const Error& error) { complain(printable(error.detail)); }

}  // namespace pn::bin
