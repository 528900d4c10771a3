#include "auth/access_tokens.hpp"
#include "auth/dds_client.hpp"
#include "auth/dds_json.hpp"
#include "auth/registration_core.hpp"
#include "auth/wallet.hpp"
#include "base/awaitable.hpp"
#include "base/deadline.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "base/time.hpp"
#include "bin/doctor.hpp"
#include "bin/doctor_report.hpp"
#include "bin/redaction.hpp"
#include "bin/runner_set.hpp"
#include "http/client.hpp"
#include "http/types.hpp"
#include "http/url.hpp"

#include <chrono>
#include <string>
#include <string_view>
#include <utility>

namespace pn::bin::doctor {
namespace {

Finding not_answered(std::string_view check, const std::string& tried, const Error& error) {
  if (error.kind == ErrorKind::corrupt) {
    return failure(check,
                   Blame::configuration,
                   tried,
                   error.detail,
                   {"what answers at DDS_BASE_URL is no DDS: correct it"});
  }
  return failure(check,
                 Blame::temporary,
                 tried,
                 error.detail,
                 {"try again later; a node tries by itself until it works"});
}

Finding registration_finding(const std::string& tried, const Result<void>& result) {
  switch (auth::register_answer(result)) {
    case auth::RegisterAnswer::registered:
      return fine("registration", tried, "registered");
    case auth::RegisterAnswer::held_elsewhere:
      return failure(
          "registration",
          Blame::sign_in,
          tried,
          "another live node is registered with this key (" + result.error().detail + ")",
          {"stop that one, or make this node a key of its own (posenode keygen)",
           "a node that crashed frees its place by itself after a while"});
    case auth::RegisterAnswer::refused:
      if (result.error().code == "http_404" || result.error().code == "http_405") {
        return failure("registration",
                       Blame::configuration,
                       tried,
                       result.error().detail,
                       {"what answers at DDS_BASE_URL is no DDS: correct it"});
      }
      return failure("registration",
                     Blame::sign_in,
                     tried,
                     "refused (" + result.error().detail + ")",
                     {"check REG_SECRET: copy it again from the network's console; it belongs to "
                      "this network (DDS_BASE_URL)",
                      "if it is right, the network does not take this wallet or this version: ask "
                      "its operator"});
    case auth::RegisterAnswer::transient:
      break;
  }
  return not_answered("registration", tried, result.error());
}

Finding sign_in_finding(const std::string& tried, const Result<auth::IssuedToken>& token) {
  if (token) {
    const auto minutes = std::chrono::duration_cast<std::chrono::minutes>(token->ttl).count();
    return fine("sign_in", tried, "a token for " + std::to_string(minutes) + " min");
  }
  const Error& error = token.error();
  const bool refused = error.kind == ErrorKind::rejected || error.kind == ErrorKind::unauthorized;
  if (error.code == "registration_gone") {
    return failure(
        "sign_in",
        Blame::sign_in,
        tried,
        "DDS does not know this wallet (" + error.detail + ")",
        {"mend the registration first; check that SECP256K1_PRIVHEX is this node's key"});
  }
  if (refused) {
    return failure(
        "sign_in",
        Blame::sign_in,
        tried,
        "refused (" + error.detail + ")",
        {"check that SECP256K1_PRIVHEX is the key of the wallet that the network knows"});
  }
  return not_answered("sign_in", tried, error);
}

/// A heartbeat of a task that nobody has: it changes nothing, and tells whether the token is taken.
Awaitable<Finding> try_token(Patient& patient, auth::AccessToken token) {
  const std::string id = make_uuid(patient.rng);
  http::Url url = patient.config.dms_base_url.append({"tasks", id, "heartbeat"});
  http::Request request(http::Method::post, std::move(url));
  request.headers.set("authorization", "Bearer " + token.reveal());
  request.headers.set("content-type", "application/json");
  request.body = R"({"progress":{},"events":[]})";
  request.timeout = patient.left();
  const std::string tried = "a heartbeat of a made-up task to DMS";
  const Result<http::Response> answer = co_await patient.http.send(std::move(request));
  if (!answer) co_return not_answered("dms.token", tried, answer.error());
  const std::string got = "it answers " + std::to_string(answer->status);
  if (answer->status == 401) {
    co_return failure("dms.token",
                      Blame::sign_in,
                      tried,
                      got + ": it does not take the token that DDS issued",
                      {"DMS_BASE_URL and DDS_BASE_URL must be of the same network"});
  }
  if (answer->status >= 500 || answer->status == 408 || answer->status == 429) {
    const Error error = http::from_http_status(*answer);
    co_return not_answered("dms.token", tried, error);
  }
  co_return fine("dms.token", tried, got + ", so it took the token");
}

}  // namespace

Awaitable<void> examine_sign_in(Patient& patient, Running running, bool dds, bool dms) {
  Report& report = patient.report;
  if (!dds) {
    for (const char* check : {"registration", "sign_in", "dms.token"}) {
      report.add(skipped(check, "DDS cannot be reached"));
    }
    co_return;
  }
  const Result<auth::Wallet> wallet = auth::Wallet::from_hex(patient.config.private_key);
  if (!wallet) co_return;  // parse_config has refused it
  const std::string who = "as " + wallet->address().str();
  const http::Url& base = patient.config.dds_base_url;
  auth::DdsClient client(patient.http, patient.clock, base, *wallet, patient.timeout);
  auth::Registration registration;
  registration.secret = patient.config.reg_secret;
  registration.version = patient.config.node_version;
  for (const RunnerState& state : patient.runners) {
    if (state.ready) registration.capabilities.push_back(state.capability);
  }
  if (running == Running::yes) {
    report.add(skipped("registration", "the node that runs here keeps its own"));
  } else if (running == Running::unknown) {
    report.add(skipped("registration",
                       "whether a node runs here cannot be seen, and its registration must not be "
                       "replaced"));
  } else if (registration.capabilities.empty()) {
    report.add(skipped("registration", "there is no capability to register"));
  } else {
    Awaitable<Result<void>> registering = client.register_wallet(registration);
    const Result<void> registered =
        co_await with_deadline(patient.clock, patient.step(), std::move(registering));
    report.add(registration_finding("register " + who, registered));
  }

  Awaitable<Result<auth::IssuedToken>> signing = client.sign_in();
  Result<auth::IssuedToken> token =
      co_await with_deadline(patient.clock, patient.step(), std::move(signing));
  if (token) redactor()->add(token->token);
  report.add(sign_in_finding("sign in " + who, token));
  if (!token || !dms) {
    report.add(skipped("dms.token", token ? "DMS cannot be reached" : "there is no token"));
    co_return;
  }
  Finding taken = co_await try_token(patient, token->token);
  report.add(std::move(taken));
}

}  // namespace pn::bin::doctor
