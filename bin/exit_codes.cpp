#include "bin/exit_codes.hpp"

#include "base/result.hpp"
#include "bin/terminal.hpp"

namespace pn::bin {

int exit_code(const Error& error) {
  // To a node's task these two are the machine's fault; at a terminal, the one who set it up mends
  // it.
  if (error.code == "file_denied" || error.code == "plain_http") return kExitConfiguration;
  switch (error.kind) {
    case ErrorKind::retry:
    case ErrorKind::restart:
    case ErrorKind::full:
      return kExitTemporary;
    case ErrorKind::not_found:
      return error.code.starts_with("file_") ? kExitConfiguration : kExitNotThere;
    case ErrorKind::rejected:
      return kExitConfiguration;
    case ErrorKind::unauthorized:
      return kExitSignIn;
    case ErrorKind::corrupt:
    case ErrorKind::internal:
      break;
  }
  return kExitInternal;
}

int failed(const Error& error) {
  complain(error);
  return exit_code(error);
}

}  // namespace pn::bin
