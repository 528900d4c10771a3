#include "auth/wallet.hpp"
#include "base/awaitable.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "bin/doctor.hpp"
#include "bin/doctor_report.hpp"
#include "http/client.hpp"
#include "http/server.hpp"
#include "http/url.hpp"

#include <cerrno>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/system/error_code.hpp>
#include <nlohmann/json.hpp>

namespace pn::bin::doctor {
namespace {

using Tcp = asio::ip::tcp;

/// Binds and closes again, as a node would bind. Nothing: it is free.
std::optional<std::error_code> refused_to_bind(const Executor& executor,
                                               const http::ListenAddress& at) {
  boost::system::error_code failed;
  const std::string address = at.address.empty() ? "0.0.0.0" : at.address;
  const auto ip = asio::ip::make_address(address == "localhost" ? "127.0.0.1" : address, failed);
  if (failed) return std::nullopt;  // a name: the node resolves it itself
  Tcp::acceptor acceptor(executor);
  const Tcp::endpoint endpoint(ip, at.port);
  acceptor.open(endpoint.protocol(), failed);
  if (failed) return failed;
  acceptor.set_option(Tcp::acceptor::reuse_address(true), failed);
  acceptor.bind(endpoint, failed);
  if (!failed) acceptor.listen(1, failed);
  if (failed) return failed;
  return std::nullopt;
}

/// One of /livez, /status.json and the like.
Awaitable<Result<http::Response>> ask(Patient& patient, http::HttpClient& client, http::Url url) {
  http::Request request(std::move(url));
  request.timeout = patient.left();
  Result<http::Response> answer = co_await client.send(std::move(request));
  co_return answer;
}

std::string text_at(const Json& object, const char* key) {
  const auto at = object.find(key);
  return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
}

std::vector<std::string> texts_at(const Json& object, const char* key) {
  std::vector<std::string> out;
  const auto at = object.find(key);
  if (at == object.end() || !at->is_array()) return out;
  for (const Json& item : *at) {
    if (item.is_string()) out.push_back(item.get<std::string>());
  }
  return out;
}

/// What a node's /status.json says, as a finding.
Finding node_finding(const std::string& tried, const Json& status) {
  const std::string state = text_at(status, "state");
  std::vector<std::string> reasons = texts_at(status, "reasons");
  const auto capabilities = status.find("capabilities");
  if (capabilities != status.end() && capabilities->is_array()) {
    for (const Json& one : *capabilities) {
      if (!one.is_object() || text_at(one, "paused").empty()) continue;
      reasons.push_back(text_at(one, "capability") + ": " + text_at(one, "paused"));
    }
  }
  if (reasons.empty()) {
    const auto tasks = status.find("tasks");
    const bool idle = tasks != status.end() && tasks->is_array() && tasks->empty();
    std::string got = "it is " + (state.empty() ? "running" : state);
    if (idle && state == "leasing") {
      got += "; it asks for work, and no task has come yet: no job asks for its capabilities now";
    }
    return fine("node", tried, std::move(got));
  }
  Finding out = fine("node", tried, "it is " + state + ", and says why it earns nothing");
  out.verdict = Verdict::warn;
  out.remedies = std::move(reasons);
  return out;
}

}  // namespace

Awaitable<void> examine_status(Patient& patient, Running running) {
  const http::ListenAddress& at = patient.config.status_addr;
  const std::string shown = at.address + ":" + std::to_string(at.port);
  const std::string tried = "listen at STATUS_ADDR=" + shown;
  const std::string base = http::local_url(at, at.port);
  const std::optional<std::error_code> taken = refused_to_bind(patient.executor, at);
  if (!taken) {
    patient.report.add(fine("status_addr", tried, "it is free"));
    patient.report.add(
        running == Running::yes
            ? doubt("node",
                    "ask the running node at " + base,
                    "nothing listens there",
                    "it was started with another STATUS_ADDR: run doctor with its settings")
            : skipped("node", "no node is running with this STATE_DIR"));
    co_return;
  }
  const bool in_use = taken->value() == EADDRINUSE;
  const Result<http::Url> url = http::Url::parse(base);
  if (!in_use || !url) {
    const std::string remedy = taken->value() == EACCES
                                   ? "choose a port from 1024 on for STATUS_ADDR"
                                   : "choose an address of this machine for STATUS_ADDR";
    patient.report.add(
        failure("status_addr", Blame::configuration, tried, taken->message(), {remedy}));
    patient.report.add(skipped("node", "STATUS_ADDR cannot be used"));
    co_return;
  }

  http::ClientOptions options;
  options.allow_plain_http = true;  // this machine's own address; nothing secret is sent
  options.no_proxy = "*";
  const Result<std::unique_ptr<http::HttpClient>> client =
      http::make_http_client(patient.executor, options);
  if (!client) co_return;
  http::Url status_at = url->append({"status.json"});
  const Result<http::Response> answer = co_await ask(patient, **client, std::move(status_at));
  Result<Json> status = answer && answer->status == 200
                            ? parse_json(answer->body)
                            : Result<Json>(Error(ErrorKind::corrupt, "status", "no status"));
  const std::string its_address =
      status && status->is_object() ? text_at(*status, "address") : std::string();
  if (its_address.empty()) {
    patient.report.add(failure("status_addr",
                               Blame::configuration,
                               tried,
                               "another program listens there",
                               {"stop it (ss -ltnp names it), or choose another STATUS_ADDR"}));
    patient.report.add(skipped("node", "what listens at STATUS_ADDR is no node of this version"));
    co_return;
  }
  const Result<auth::Wallet> wallet = auth::Wallet::from_hex(patient.config.private_key);
  const bool ours = wallet && wallet->address().str() == its_address;
  if (running == Running::no || !ours) {
    const std::string who = ours ? "a node with the same key and another STATE_DIR"
                                 : "the node " + its_address + ", which has another key,";
    patient.report.add(failure("status_addr",
                               Blame::configuration,
                               tried,
                               who + " listens there",
                               {"give each node a STATUS_ADDR, a STATE_DIR and a key of its own"}));
  } else {
    patient.report.add(fine("status_addr", tried, "held by this node, which is running"));
  }
  patient.report.add(node_finding("ask the node at " + base, *status));
}

}  // namespace pn::bin::doctor
