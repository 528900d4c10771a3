#pragma once

#include "base/redactor.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"
#include "base/strong_id.hpp"

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace pn::log {

/// error = a person must act; warn = degraded, being retried; info = a state changed; debug = one
/// line a request.
enum class Level { debug, info, warn, error, off };
enum class Format { json, text };

/// One key=value pair. Values are strings, whole numbers, numbers or booleans; a Secret has no
/// constructor here.
class Field {
 public:
  Field(std::string_view k, std::string_view value) : key(k), text(value) {}
  Field(std::string_view k, const std::string& value) : key(k), text(value) {}
  Field(std::string_view k, const char* value) : key(k), text(value) {}
  template <class Tag>
  Field(std::string_view k, const StrongId<Tag>& value) : key(k), text(value.str()) {}
  template <class N>
    requires std::is_arithmetic_v<N>
  Field(std::string_view k, N value) : key(k), text(number(value)), quoted(false) {}

  std::string key;
  std::string text;
  bool quoted = true;  ///< false: `text` is a JSON number or boolean as it stands

 private:
  static std::string number(bool value) { return value ? "true" : "false"; }
  static std::string number(double value);
  template <class N>
  static std::string number(N value) {
    if constexpr (std::is_same_v<N, bool>)
      return value ? "true" : "false";
    else if constexpr (std::is_floating_point_v<N>)
      return number(static_cast<double>(value));
    else
      return std::to_string(value);
  }
};

using Fields = std::initializer_list<Field>;

/// Where lines go. One call is one line without its end; called from any thread, one at a time.
using Sink = std::function<void(Level, std::string_view line)>;

/// The standard error stream.
Sink stderr_sink();

struct Options {
  Level level = Level::info;
  Format format = Format::json;
};

/// A handle that writes events with pairs, and carries the pairs bound to it (node, job, attempt).
/// Cheap to copy; safe on any thread. Every text that is written has passed the redactor: secrets
/// are taken out here, and not where lines are made.
///
/// Events are constant literals `noun.past_verb` ("lease.renewed"), listed in
/// docs/reference/events.md. The same warn or error event within one second is written the 1st,
/// 2nd, 4th, 8th ... time, with `repeats`. JSON:
/// {"ts":"...","level":"info","event":"lease.renewed","job":"..."}; text: `10:00:00.250 info
/// lease.renewed job=..`.
class Logger {
 public:
  /// Writes nothing: for tests and for parts that were given none.
  Logger() = default;
  /// With a redactor of its own.
  Logger(Options options, Sink sink);
  /// `redactor` is shared with whoever else shows text of this process; never null.
  Logger(Options options, Sink sink, std::shared_ptr<Redactor> redactor);

  [[nodiscard]] Logger with(Fields fields) const;

  void debug(std::string_view event, Fields fields = {}) const {
    write(Level::debug, event, fields);
  }
  void info(std::string_view event, Fields fields = {}) const { write(Level::info, event, fields); }
  void warn(std::string_view event, Fields fields = {}) const { write(Level::warn, event, fields); }
  void error(std::string_view event, Fields fields = {}) const {
    write(Level::error, event, fields);
  }

  [[nodiscard]] bool enabled(Level level) const;

  /// A token that must never stand in a line: told to the redactor.
  void hide(const Secret<std::string>& token) const;
  /// For other text that leaves the process. Of a Logger that writes nothing: one that was told
  /// nothing.
  [[nodiscard]] const Redactor& redactor() const;

 private:
  struct Core;
  void write(Level level, std::string_view event, Fields fields) const;

  std::shared_ptr<Core> core_;  // one sink behind many handles
  std::shared_ptr<const std::vector<Field>> bound_;
};

/// {"error", "retry http_503: ..."}: how every event names its Error.
Field field(const Error& error);

}  // namespace pn::log
