#include "base/awaitable.hpp"
#include "base/deadline.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "bin/beside.hpp"
#include "bin/doctor.hpp"
#include "bin/doctor_report.hpp"
#include "bin/first_connection.hpp"
#include "http/client.hpp"
#include "http/proxy.hpp"
#include "http/types.hpp"
#include "http/url.hpp"
#include "node/config.hpp"

#include <algorithm>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <netdb.h>
#include <sys/socket.h>

namespace pn::bin::doctor {
namespace {

using Tcp = asio::ip::tcp;

/// A clock that is off by less than this harms nothing.
constexpr Millis kSkewAllowed{60'000};

struct Resolved {
  std::vector<Tcp::endpoint> endpoints;
  std::string fault;  ///< getaddrinfo's words
};

/// Blocks, and may hang for as long as the resolver's own time-outs.
Resolved resolve(const http::ProxyAddress& target) {
  Resolved out;
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* first = nullptr;
  const int failed = ::getaddrinfo(target.host.c_str(), target.port.c_str(), &hints, &first);
  if (failed != 0) {
    out.fault = ::gai_strerror(failed);
    return out;
  }
  for (const addrinfo* at = first; at != nullptr; at = at->ai_next) {
    Tcp::endpoint endpoint;
    if (at->ai_addrlen > endpoint.capacity()) continue;
    std::copy_n(reinterpret_cast<const char*>(at->ai_addr),
                at->ai_addrlen,
                reinterpret_cast<char*>(endpoint.data()));
    endpoint.resize(at->ai_addrlen);
    out.endpoints.push_back(endpoint);
  }
  ::freeaddrinfo(first);
  return out;
}

std::string list(const std::vector<Tcp::endpoint>& endpoints) {
  std::string out;
  for (const Tcp::endpoint& endpoint : endpoints) {
    const std::string address = endpoint.address().to_string();
    if (!out.empty()) out += ", ";
    out += address;
    if (out.size() > 100) break;
  }
  return out;
}

Awaitable<Result<std::string>> connect_to(Patient& patient, std::vector<AddressTry>& tries) {
  const auto winner = co_await first_connection(patient.executor, patient.clock, tries);
  if (!winner) co_return Error(ErrorKind::retry, "connect", failures_of(tries));
  co_return tries[*winner].endpoint.address().to_string();
}

struct Target {
  http::ProxyAddress at;  ///< of the proxy, or of the service itself
  bool proxy = false;
  std::string setting;  ///< what names it
  std::string shown;    ///< "dms.example:443", "the proxy 10.0.0.1:3128"
};

Target target_of(const Patient& patient, const Service& service) {
  const http::ClientOptions options = node::client_options(patient.config);
  Target out;
  const std::string& proxy = http::proxy_for(options, service.base);
  out.proxy = !proxy.empty();
  out.setting = service.setting;
  if (out.proxy) {
    out.at = http::proxy_address(proxy);
    out.setting = service.base.scheme() == "https" ? "HTTPS_PROXY" : "HTTP_PROXY";
  } else {
    out.at = {.host = service.base.host(), .port = std::to_string(service.base.port())};
  }
  out.shown = (out.proxy ? "the proxy " : "") + out.at.host + ":" + out.at.port;
  return out;
}

Finding unresolved(const Service& service, const Target& target, const std::string& fault) {
  std::vector<std::string> remedies{"check the name in " + target.setting + " (" + target.at.host +
                                    ")"};
  remedies.emplace_back(
      "if no name resolves here, mend this machine's network or /etc/resolv.conf");
  return failure(service.name + ".dns",
                 Blame::temporary,
                 "resolve " + target.at.host,
                 fault.empty() ? "no answer in time" : fault,
                 std::move(remedies));
}

Finding unconnected(const Service& service,
                    const Target& target,
                    const std::vector<AddressTry>& tries) {
  const bool hangs = std::ranges::any_of(
      tries, [](const AddressTry& one) { return one.begun && one.fault.empty(); });
  const std::string what = target.proxy ? "the proxy" : "the service";
  return failure(service.name + ".tcp",
                 Blame::temporary,
                 "connect to " + target.shown,
                 failures_of(tries),
                 {hangs ? "a firewall here or there swallows the packets: let this machine reach " +
                              target.shown
                        : what + " is down, or the port in " + target.setting + " is wrong"});
}

/// The call by which a service is known, without credentials: it can change nothing.
http::Url probe_url(const Service& service) {
  if (service.name == "dms") {
    const http::Url jobs = service.base.append({"jobs"});
    return jobs.with_query("limit", "1");
  }
  return service.base.append({"health"});
}

Finding answered(const Service& service,
                 const std::string& tried,
                 const http::Response& answer,
                 bool proxied) {
  const std::string check = service.name + ".http";
  const std::string status = std::to_string(answer.status);
  const std::string got = "it answers " + status + (proxied ? ", by the proxy" : "");
  if (answer.status >= 300 && answer.status <= 399) {
    return failure(check,
                   Blame::configuration,
                   tried,
                   got + ": it is elsewhere (" +
                       std::string(answer.headers.find("location").value_or("no Location")) + ")",
                   {"write the address that it names into " + service.setting});
  }
  if (answer.status >= 500) {
    return failure(check,
                   Blame::temporary,
                   tried,
                   got + ": the service is there and is not well",
                   {"try again later; a node waits for it by itself"});
  }
  const bool no_such_call = answer.status == 404 || answer.status == 405;
  if (service.name == "dms" && no_such_call) {
    return failure(check,
                   Blame::configuration,
                   tried,
                   got + ": no DMS is at that address",
                   {"correct DMS_BASE_URL; it mostly ends in /v1 (https://dms.auki.network/v1)"});
  }
  return fine(check, tried, got);
}

Millis skew_of(const Patient& patient, SystemTime theirs) {
  const SystemTime ours = patient.clock.system_now();
  // `Date` has whole seconds.
  constexpr std::chrono::seconds kResolution{1};
  if (theirs <= ours && ours < theirs + kResolution) return Millis(0);
  return std::chrono::duration_cast<Millis>(theirs - ours);
}

}  // namespace

Awaitable<Reached> examine_service(Patient& patient, Service service) {
  Reached out;
  const Target target = target_of(patient, service);
  const std::function<Resolved()> ask = [at = target.at] { return resolve(at); };
  const Result<Resolved> resolved = co_await beside(patient.pool, patient.left(), ask);
  if (!resolved || resolved->endpoints.empty()) {
    patient.report.add(unresolved(service, target, resolved ? resolved->fault : ""));
    patient.report.add(skipped(service.name + ".tcp", "the name does not resolve"));
    patient.report.add(skipped(service.name + ".http", "the name does not resolve"));
    co_return out;
  }
  patient.report.add(
      fine(service.name + ".dns", "resolve " + target.at.host, list(resolved->endpoints)));

  std::vector<AddressTry> tries = in_turn(resolved->endpoints);
  Awaitable<Result<std::string>> connecting = connect_to(patient, tries);
  const Result<std::string> connected =
      co_await with_deadline(patient.clock, patient.step(), std::move(connecting));
  if (!connected) {
    patient.report.add(unconnected(service, target, tries));
    patient.report.add(skipped(service.name + ".http", "there is no connection"));
    co_return out;
  }
  const std::string failed = failures_of(tries);
  patient.report.add(fine(service.name + ".tcp",
                          "connect to " + target.shown,
                          "connected to " + *connected +
                              (failed.empty() ? "" : "; other addresses failed: " + failed)));

  http::Request request(probe_url(service));
  request.timeout = patient.left();
  const std::string tried = "GET " + request.url.str();
  const Result<http::Response> answer = co_await patient.http.send(std::move(request));
  if (!answer) {
    patient.report.add(
        explain(service.name + ".http", tried, answer.error(), service.base, service.setting));
    co_return out;
  }
  Finding finding = answered(service, tried, *answer, target.proxy);
  out.ok = finding.verdict != Verdict::fail;
  patient.report.add(std::move(finding));
  const std::optional<SystemTime> date = http::server_date(answer->headers);
  if (date) out.skew = skew_of(patient, *date);
  co_return out;
}

Finding clock_finding(std::optional<Millis> dds, std::optional<Millis> dms) {
  const std::string tried = "compare this machine's clock with the services'";
  if (!dds && !dms) return skipped("clock", "no service told its time");
  const Millis off = dds.value_or(dms.value_or(Millis(0)));
  const Millis size = std::max(off, -off);
  const std::string seconds = std::to_string(size.count() / 1000);
  if (size < kSkewAllowed) {
    return fine("clock", tried, size < Millis(1000) ? "the same" : seconds + " s apart");
  }
  return doubt("clock",
               tried,
               "this clock is " + seconds + " s " + (off > Millis(0) ? "behind" : "ahead"),
               "set it: timedatectl set-ntp true (tokens and certificates go by time; the node "
               "goes by the services' clock where it can)");
}

}  // namespace pn::bin::doctor
