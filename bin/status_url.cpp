#include "bin/status_url.hpp"

#include "http/server.hpp"

#include <string>

namespace pn::bin {

std::string status_url(const http::ListenAddress& listen) {
  std::string host = listen.address;
  // "::" is IPv4 too (http/server.cpp), and many a container has no IPv6.
  if (host.empty() || host == "0.0.0.0" || host == "::") host = "127.0.0.1";
  if (host.find(':') != std::string::npos) host = "[" + host + "]";
  return "http://" + host + ":" + std::to_string(listen.port);
}

}  // namespace pn::bin
