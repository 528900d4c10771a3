#include "market/dds_handlers.hpp"

#include "auth/siwe.hpp"
#include "auth/wallet.hpp"
#include "base/json.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "base/secret.hpp"
#include "base/semver.hpp"
#include "base/time.hpp"
#include "http/server.hpp"
#include "http/types.hpp"
#include "market/account.hpp"
#include "market/answers.hpp"
#include "market/identity_store.hpp"
#include "market/secrets.hpp"
#include "market/tokens.hpp"

#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>
#include <soci/soci.h>

namespace pn::market {
namespace {

constexpr std::chrono::minutes kNonceLife{5};
constexpr std::size_t kMaxCapabilities = 256;
constexpr std::size_t kMaxAttributes = std::size_t{16} * 1024;
constexpr std::uint64_t kRegistrationBody = std::uint64_t{128} * 1024;  // what they come to

Error unsigned_error(std::string detail) {
  return {ErrorKind::unauthorized, "siwe_invalid", std::move(detail)};
}

Error nonce_error() {
  return unsigned_error("the nonce is unknown, used or expired; ask for a new one");
}

/// Whether the nonce is there for this message; removes it.
Result<void> use_nonce(soci::session& session, const auth::ParsedSiwe& message, SystemTime now) {
  const auto row = take_nonce(session, message.challenge.nonce, now);
  if (!row || row->wallet != message.address || row->issued_at != message.challenge.issued_at) {
    return nonce_error();
  }
  return {};
}

struct RegistrationRequest {
  std::string message;
  std::string signature;
  Secret<std::string> secret;
  std::string version;
  std::string capabilities;
  std::string attributes;
};

Result<RegistrationRequest> parse_registration(const Json& json) {
  JsonFields fields(json, "registration");
  RegistrationRequest out;
  out.message = fields.need_string("message");
  out.signature = fields.need_string("signature");
  out.secret = Secret<std::string>(fields.need_string("registration_credentials"));
  out.version = fields.need_string("version");
  if (!out.version.empty() && !is_semver(out.version)) {
    fields.fault("version", "must be a semantic version without a leading v");
  }
  const auto capabilities = fields.strings("capabilities").value_or(std::vector<std::string>());
  if (capabilities.empty() || capabilities.size() > kMaxCapabilities) {
    fields.fault("capabilities", "must name 1 to 256 capabilities");
  }
  for (const std::string& capability : capabilities) {
    if (capability.empty() || capability.front() != '/' || capability.size() > 200) {
      fields.fault("capabilities", "must be paths such as /spatial/sfm/v1");
    }
  }
  out.capabilities = dump_json(Json(capabilities));
  const Json* attributes = fields.object("attributes");
  out.attributes = attributes != nullptr ? dump_json(*attributes) : "{}";
  if (out.attributes.size() > kMaxAttributes) {
    fields.fault("attributes", "must have at most 16 KiB");
  }
  const auto done = fields.done();
  if (!done.ok()) return done.error();
  return out;
}

struct Registered {
  NodeId id;
  bool changed = false;  ///< what tasks ask of it: not so for a new node
};

Registered put_registered(soci::session& session, const NodeRow& row) {
  const auto known = find_node(session, row.wallet);
  Registered out;
  out.changed =
      known && (known->capabilities != row.capabilities || known->attributes != row.attributes);
  out.id = put_node(session, row);
  return out;
}

Json node_json(const NodeRow& node) {
  return {{"id", node.id.str()},
          {"wallet", node.wallet.str()},
          {"organization_id", node.organization.str()},
          {"version", node.version},
          {"capabilities", Json::parse(node.capabilities, nullptr, false)},
          {"attributes", Json::parse(node.attributes, nullptr, false)},
          {"created_at", format_rfc3339(node.created)},
          {"updated_at", format_rfc3339(node.updated)}};
}

}  // namespace

void DdsHandlers::add_routes(http::Router& router) {
  using http::Method;
  using http::ServerRequest;
  router.add(Method::post, "/internal/v1/auth/siwe/request", [this](ServerRequest& r) {
    return answered(context_.logger, siwe_request(r));
  });
  router.add(Method::post, "/internal/v1/auth/siwe/verify", [this](ServerRequest& r) {
    return answered(context_.logger, siwe_verify(r));
  });
  router.add(Method::post, "/internal/v1/nodes/register-wallet", [this](ServerRequest& r) {
    return answered(context_.logger, register_wallet(r));
  });
  router.add(Method::get, "/api/v1/nodes", [this](ServerRequest& r) {
    return answered(context_.logger, nodes(r));
  });
  router.add(Method::get, "/service/public-key", [this](ServerRequest& r) {
    return answered(context_.logger, public_key(r));
  });
  router.add(Method::get, "/service/public-key.pem", [this](ServerRequest& r) {
    return answered(context_.logger, public_pem(r));
  });
  router.add(Method::get, "/health", [this](ServerRequest& r) {
    return answered(context_.logger, health(r));
  });
}

std::string DdsHandlers::siwe_domain() const {
  const std::string& url = context_.public_url;
  const std::string rest = url.substr(url.find("://") + 3);
  return rest.substr(0, rest.find('/'));
}

Result<auth::ParsedSiwe> DdsHandlers::signed_by_wallet(const std::string& message,
                                                       const std::string& signature) const {
  Result<auth::ParsedSiwe> parsed = auth::parse_siwe_message(message);
  if (!parsed.ok()) return unsigned_error(parsed.error().detail);
  const auth::SiweChallenge& said = parsed->challenge;
  if (said.domain != siwe_domain() || said.uri != context_.public_url ||
      said.chain_id != context_.settings.chain_id || said.version != "1") {
    return unsigned_error("the message is for another service than " + context_.public_url);
  }
  const Result<auth::EthAddress> signer = auth::recover_personal(message, signature);
  if (!signer.ok() || *signer != parsed->address) {
    return unsigned_error("the signature is not of the message's address");
  }
  return parsed;
}

Answer DdsHandlers::siwe_request(http::ServerRequest& request) {
  Result<Json> json = co_await read_json(request, kSmallBody);
  if (!json.ok()) co_return json.error();
  JsonFields fields(*json, "request");
  const std::string wallet = fields.need_string("wallet");
  const auto done = fields.done();
  if (!done.ok()) co_return done.error();
  const Result<auth::EthAddress> address = auth::parse_eth_address(wallet);
  if (!address.ok()) co_return address.error();

  const SystemTime now = context_.clock.system_now();
  NonceRow row;
  row.nonce = random_hex(context_.rng, 16);
  row.wallet = *address;
  row.issued_at = format_rfc3339(now);
  row.expires = now + kNonceLife;
  const std::function<Result<void>(soci::session&)> work = [&](soci::session& s) -> Result<void> {
    put_nonce(s, row, now);
    return {};
  };
  const Result<void> stored = co_await context_.database.write<void>(work);
  if (!stored.ok()) co_return stored.error();
  const Json answer{{"nonce", row.nonce},
                    {"domain", siwe_domain()},
                    {"uri", context_.public_url},
                    {"version", "1"},
                    {"chainId", context_.settings.chain_id},
                    {"issuedAt", row.issued_at}};
  co_return json_answer(200, answer);
}

Answer DdsHandlers::siwe_verify(http::ServerRequest& request) {
  Result<Json> json = co_await read_json(request, kSmallBody);
  if (!json.ok()) co_return json.error();
  JsonFields fields(*json, "request");
  const std::string address = fields.need_string("address");
  const std::string message = fields.need_string("message");
  const std::string signature = fields.need_string("signature");
  const auto done = fields.done();
  if (!done.ok()) co_return done.error();
  const Result<auth::ParsedSiwe> parsed = signed_by_wallet(message, signature);
  if (!parsed.ok()) co_return parsed.error();
  const Result<auth::EthAddress> claimed = auth::parse_eth_address(address);
  if (!claimed.ok() || *claimed != parsed->address) {
    const Error error = unsigned_error("the address is not that of the message");
    co_return error;
  }

  const SystemTime now = context_.clock.system_now();
  const std::function<Result<std::optional<NodeRow>>(soci::session&)> work =
      [&](soci::session& s) -> Result<std::optional<NodeRow>> {
    const Result<void> nonce = use_nonce(s, *parsed, now);
    if (!nonce.ok()) return nonce.error();
    return find_node(s, parsed->address);
  };
  const auto node = co_await context_.database.write<std::optional<NodeRow>>(work);
  if (!node.ok()) co_return node.error();
  if (!node->has_value()) {
    const Error error(
        ErrorKind::rejected, "node_unknown", "this wallet is not registered; register it first");
    co_return error;
  }
  const NodeRow& row = **node;
  const MintedToken token =
      context_.tokens.mint_node(row.id, row.organization, context_.settings.node_token_ttl);
  const Json answer{{"access_token", token.text},
                    {"access_expires_at", format_rfc3339(token.expires)},
                    {"node_id", row.id.str()}};
  co_return json_answer(200, answer);
}

Answer DdsHandlers::register_wallet(http::ServerRequest& request) {
  Result<Json> json = co_await read_json(request, kRegistrationBody);
  if (!json.ok()) co_return json.error();
  const Result<RegistrationRequest> wanted = parse_registration(*json);
  if (!wanted.ok()) co_return wanted.error();
  const Result<auth::ParsedSiwe> parsed = signed_by_wallet(wanted->message, wanted->signature);
  if (!parsed.ok()) co_return parsed.error();

  const SystemTime now = context_.clock.system_now();
  NodeRow row;
  row.id = NodeId(make_uuid(context_.rng));
  row.wallet = parsed->address;
  row.organization = context_.first.organization;
  row.version = wanted->version;
  row.capabilities = wanted->capabilities;
  row.attributes = wanted->attributes;
  row.created = now;
  row.updated = now;
  const std::function<Result<Registered>(soci::session&)> work =
      [&](soci::session& s) -> Result<Registered> {
    const Result<void> nonce = use_nonce(s, *parsed, now);
    if (!nonce.ok()) return nonce.error();
    const auto secret = find_bootstrap(s, "registration");
    if (!secret || !matches_hash(wanted->secret, secret->hash)) {
      return Error(ErrorKind::rejected,
                   "registration_refused",
                   "the registration credentials are wrong; ask the market's host for REG_SECRET");
    }
    return put_registered(s, row);
  };
  const Result<Registered> node = co_await context_.database.write<Registered>(work);
  if (!node.ok()) {
    if (!is_host_fault(node.error())) {
      context_.logger.warn("registration.refused",
                           {{"wallet", row.wallet}, log::field(node.error())});
    }
    co_return node.error();
  }
  if (node->changed && node_changed) node_changed(node->id);
  context_.logger.info("node.registered",
                       {{"node", node->id}, {"wallet", row.wallet}, {"version", row.version}});
  const Json answer{{"id", node->id.str()}, {"wallet", row.wallet.str()}};
  co_return json_answer(200, answer);
}

Answer DdsHandlers::nodes(http::ServerRequest& request) {
  const Result<TokenClaims> account = account_of(context_.tokens, request);
  if (!account.ok()) co_return account.error();
  const std::function<Result<std::vector<NodeRow>>(soci::session&)> work =
      [](soci::session& s) -> Result<std::vector<NodeRow>> { return list_nodes(s); };
  const auto rows = co_await context_.database.read<std::vector<NodeRow>>(work);
  if (!rows.ok()) co_return rows.error();
  Json list = Json::array();
  for (const NodeRow& row : *rows) list.push_back(node_json(row));
  const Json answer{{"nodes", std::move(list)}};
  co_return json_answer(200, answer);
}

Answer DdsHandlers::public_key(http::ServerRequest& /*request*/) {
  co_return http::ServerResponse::json(200, context_.key.public_jwk());
}

Answer DdsHandlers::public_pem(http::ServerRequest& /*request*/) {
  co_return http::ServerResponse::text(200, context_.key.public_pem(), "application/x-pem-file");
}

Answer DdsHandlers::health(http::ServerRequest& /*request*/) {
  const Json answer{{"status", "ok"}};
  co_return json_answer(200, answer);
}

}  // namespace pn::market
