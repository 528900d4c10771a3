#pragma once

#include <chrono>
#include <concepts>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <tl/expected.hpp>

namespace pn {

/// What the caller does next. Not what broke: that is `Error::code` and `Error::detail`.
enum class ErrorKind {
  retry,         ///< the same call may succeed later; `Error::after` says when the peer wants it
  restart,       ///< redo the enclosing unit (the lease is lost, the upload id is gone)
  not_found,     ///< the thing named does not exist
  rejected,      ///< our request is wrong; sending it again cannot help
  unauthorized,  ///< sign in again, then once more
  corrupt,       ///< what came back contradicts itself or its promise
  full,          ///< no space: disk, quota or database
  internal,      ///< a fault of ours or of the machine
};

/// The kind's name as it stands in logs: "retry", "not_found", ...
std::string_view name(ErrorKind kind);

/// A failure that a caller is expected to handle. Nobody branches on `detail`.
///
/// `code` is a short constant in snake_case ("lease_lost", "curl_timeout", "http_503") owned by the
/// part that made the error; tests and the wire may compare it. `detail` is one sentence for a
/// person: the cause and the remedy, and never a secret.
struct Error {
  ErrorKind kind = ErrorKind::internal;
  std::string code;
  std::string detail;
  std::optional<std::chrono::milliseconds> after{};

  Error(ErrorKind k, std::string c, std::string d)
      : kind(k), code(std::move(c)), detail(std::move(d)) {}

  friend bool operator==(const Error&, const Error&) = default;
};

/// "not_found domain_missing: no domain with id ..." for a log line or a terminal.
std::string to_string(const Error& error);

/// The same error with `prefix: ` put before its detail, for the caller that knows what was being
/// done.
Error within(std::string_view what, Error error);

/// A value or an Error. Our own type, because `tl::expected` is not [[nodiscard]]; to become
/// std::expected.
template <class T>
class [[nodiscard]] Result {
 public:
  using value_type = T;

  // Not explicit: `return value;` and `return error;` are the point.
  Result(T value) : held_(std::move(value)) {}  // NOLINT(google-explicit-constructor)
  // NOLINTNEXTLINE(google-explicit-constructor)
  Result(Error error) : held_(tl::unexpect, std::move(error)) {}

  [[nodiscard]] bool ok() const { return held_.has_value(); }
  explicit operator bool() const { return ok(); }

  [[nodiscard]] T& value() & { return held_.value(); }
  [[nodiscard]] const T& value() const& { return held_.value(); }
  [[nodiscard]] T&& value() && { return std::move(held_).value(); }
  T& operator*() & { return *held_; }
  const T& operator*() const& { return *held_; }
  T&& operator*() && { return *std::move(held_); }
  T* operator->() { return &*held_; }
  const T* operator->() const { return &*held_; }

  [[nodiscard]] Error& error() & { return held_.error(); }
  [[nodiscard]] const Error& error() const& { return held_.error(); }
  [[nodiscard]] Error&& error() && { return std::move(held_).error(); }

  [[nodiscard]] T value_or(T other) && { return ok() ? std::move(*held_) : std::move(other); }

 private:
  tl::expected<T, Error> held_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  using value_type = void;

  Result() = default;
  // NOLINTNEXTLINE(google-explicit-constructor)
  Result(Error error) : held_(tl::unexpect, std::move(error)) {}

  [[nodiscard]] bool ok() const { return held_.has_value(); }
  explicit operator bool() const { return ok(); }
  [[nodiscard]] Error& error() & { return held_.error(); }
  [[nodiscard]] const Error& error() const& { return held_.error(); }
  [[nodiscard]] Error&& error() && { return std::move(held_).error(); }

 private:
  tl::expected<void, Error> held_;
};

}  // namespace pn
