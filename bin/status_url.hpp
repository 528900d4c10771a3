#pragma once

#include "http/server.hpp"

#include <string>

namespace pn::bin {

/// Where a program of this machine reaches what listens at `listen`: "http://127.0.0.1:9464".
std::string status_url(const http::ListenAddress& listen);

}  // namespace pn::bin
