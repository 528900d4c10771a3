#include "base/log.hpp"

#include "base/redactor.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"
#include "base/time.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>

namespace pn::log {
namespace {

std::string_view level_name(Level level) {
  switch (level) {
    case Level::debug:
      return "debug";
    case Level::info:
      return "info";
    case Level::warn:
      return "warn";
    case Level::error:
      return "error";
    case Level::off:
      return "off";
  }
  return "off";
}

/// How many bytes the character at `at` has; 0 where that is no UTF-8 (RFC 3629, 4).
std::size_t utf8_length(std::string_view text, std::size_t at) {
  const auto byte = [text, at](std::size_t i) {
    return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0U;
  };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  if (first < 0xC2 || first > 0xF4) return 0;
  // No longer than it needs to be, no surrogates, nothing beyond U+10FFFF.
  const unsigned low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
  const unsigned high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
  if (byte(1) < low || byte(1) > high) return 0;
  for (std::size_t i = 2; i < length; ++i) {
    if (byte(i) < 0x80 || byte(i) > 0xBF) return 0;
  }
  return length;
}

/// What is no UTF-8, such as a server's page in Latin-1, becomes U+FFFD: a collector drops a line
/// that is no JSON.
void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  for (std::size_t at = 0; at < text.size();) {
    const char c = text[at];
    const auto b = static_cast<unsigned char>(c);
    const std::size_t length = utf8_length(text, at);
    if (length == 0) {
      out += "\\ufffd";
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (b < 0x20 || b == 0x7F) {
      std::array<char, 8> escaped{};
      std::snprintf(escaped.data(), escaped.size(), "\\u%04x", b);
      out += escaped.data();
    } else {
      out += text.substr(at, length);
    }
    at += std::max<std::size_t>(length, 1);
  }
  out += '"';
}

/// Bare when it reads as one word, quoted as in JSON otherwise: no value can forge a second pair or
/// a second line.
void append_text_value(std::string& out, std::string_view text) {
  bool plain = !text.empty();
  for (const char c : text) {
    if (static_cast<unsigned char>(c) <= 0x20 || c == '"' || c == '=' || c == '\\' || c == 0x7F) {
      plain = false;
    }
  }
  if (plain) {
    out += text;
  } else {
    append_json_string(out, text);
  }
}

struct Line {
  Format format;
  const Redactor& redactor;
  std::string out;

  Line(Format f, const Redactor& r, Level level, std::string_view event) : format(f), redactor(r) {
    const std::string now = format_rfc3339(
        std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now()));
    if (format == Format::json) {
      out =
          R"({"ts":")" + now + R"(","level":")" + std::string(level_name(level)) + R"(","event":)";
      append_json_string(out, event);
    } else {
      out = now.substr(11, 12) + ' ' + std::string(level_name(level));
      out.append(out.size() < 18 ? 18 - out.size() : 1, ' ');
      out += event;
    }
  }

  void add(const Field& field) {
    if (format == Format::json) {
      out += ',';
      append_json_string(out, field.key);
      out += ':';
      if (field.quoted) {
        append_json_string(out, redactor.clean(field.text));
      } else {
        out += field.text;
      }
    } else {
      out += ' ';
      out += field.key;
      out += '=';
      if (field.quoted) {
        append_text_value(out, redactor.clean(field.text));
      } else {
        out += field.text;
      }
    }
  }

  std::string finish() && {
    if (format == Format::json) out += '}';
    return std::move(out);
  }
};

}  // namespace

std::string Field::number(double value) {
  std::array<char, 40> out{};
  std::snprintf(out.data(), out.size(), "%.6g", value);
  const std::string_view text = out.data();
  // JSON has no infinity and no NaN.
  return text.find_first_of("in") == std::string_view::npos ? std::string(text) : "null";
}

struct Logger::Core {
  struct Repeats {
    std::chrono::steady_clock::time_point since;
    std::uint64_t count = 0;
  };

  Options options;
  Sink sink;
  std::shared_ptr<Redactor> redactor;
  std::mutex mutex;  // handles are used on every loop and on pool threads
  std::map<std::string, Repeats, std::less<>> repeats;

  /// How often this event came within its second; 0: not to be written.
  std::uint64_t count(std::string_view event) {
    const auto now = std::chrono::steady_clock::now();
    const auto at =
        repeats.try_emplace(std::string(event), Repeats{.since = now, .count = 0}).first;
    if (now - at->second.since >= std::chrono::seconds(1)) at->second = {.since = now, .count = 0};
    const std::uint64_t n = ++at->second.count;
    return (n & (n - 1)) == 0 ? n : 0;
  }
};

Logger::Logger(Options options, Sink sink)
    : Logger(options, std::move(sink), std::make_shared<Redactor>()) {}

Logger::Logger(Options options, Sink sink, std::shared_ptr<Redactor> redactor)
    : core_(std::make_shared<Core>()) {
  core_->options = options;
  core_->sink = std::move(sink);
  core_->redactor = std::move(redactor);
}

void Logger::hide(const Secret<std::string>& token) const {
  if (core_) core_->redactor->add(token);
}

const Redactor& Logger::redactor() const {
  static const Redactor told_nothing;
  return core_ ? *core_->redactor : told_nothing;
}

Logger Logger::with(Fields fields) const {
  Logger out = *this;
  auto all = bound_ ? *bound_ : std::vector<Field>();
  all.insert(all.end(), fields.begin(), fields.end());
  out.bound_ = std::make_shared<const std::vector<Field>>(std::move(all));
  return out;
}

bool Logger::enabled(Level level) const { return core_ && level >= core_->options.level; }

void Logger::write(Level level, std::string_view event, Fields fields) const {
  if (!enabled(level)) return;
  Line line(core_->options.format, *core_->redactor, level, event);
  if (bound_) {
    for (const Field& field : *bound_) line.add(field);
  }
  for (const Field& field : fields) line.add(field);

  const std::lock_guard lock(core_->mutex);
  if (level >= Level::warn) {
    const std::uint64_t n = core_->count(event);
    if (n == 0) return;
    if (n > 1) line.add(Field("repeats", n));
  }
  core_->sink(level, std::move(line).finish());
}

Sink stderr_sink() {
  auto logger = std::make_shared<spdlog::logger>("posenode",
                                                 std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_pattern("%v");
  logger->set_level(spdlog::level::trace);
  return [logger](Level level, std::string_view line) {
    const auto severity = level >= Level::error ? spdlog::level::err : spdlog::level::info;
    logger->log(severity, spdlog::string_view_t(line.data(), line.size()));
  };
}

Field field(const Error& error) { return {"error", to_string(error)}; }

}  // namespace pn::log
