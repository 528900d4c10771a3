#include "base/result.hpp"

#include <string>
#include <string_view>

namespace pn {

std::string_view name(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::retry:
      return "retry";
    case ErrorKind::restart:
      return "restart";
    case ErrorKind::not_found:
      return "not_found";
    case ErrorKind::rejected:
      return "rejected";
    case ErrorKind::unauthorized:
      return "unauthorized";
    case ErrorKind::corrupt:
      return "corrupt";
    case ErrorKind::full:
      return "full";
    case ErrorKind::internal:
      return "internal";
  }
  return "internal";
}

std::string to_string(const Error& error) {
  std::string text(name(error.kind));
  text += ' ';
  text += error.code;
  if (!error.detail.empty()) {
    text += ": ";
    text += error.detail;
  }
  return text;
}

Error within(std::string_view what, Error error) {
  error.detail = std::string(what) + ": " + error.detail;
  return error;
}

}  // namespace pn
