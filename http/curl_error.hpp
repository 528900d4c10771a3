#pragma once

#include "base/result.hpp"

#include <string_view>

namespace pn::http {

/// The one place where a CURLcode becomes an Error. `what` names the exchange ("GET
/// https://host/path"), `said` is libcurl's own sentence, which may be empty; neither may hold a
/// secret.
///
/// Nearly all of it is kind `retry`: an exchange without an answer settles nothing, not even when
/// the certificate is wrong, because an operator can mend that while an outcome waits to be
/// delivered.
Error from_curl(int curl_code, std::string_view what, std::string_view said);

}  // namespace pn::http
