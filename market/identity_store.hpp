#pragma once

#include "auth/wallet.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "market/tokens.hpp"

#include <optional>
#include <string>
#include <vector>

namespace soci {
class session;
}

namespace pn::market {

// The identity tables. Every function runs inside Database::write or ::read, and throws what SOCI
// throws; the Database maps that.

struct NonceRow {
  std::string nonce;
  auth::EthAddress wallet;
  std::string issued_at;  ///< as it was told: the message repeats it
  SystemTime expires{};
};

struct NodeRow {
  NodeId id;
  auth::EthAddress wallet;
  OrganizationId organization;
  std::string version;
  std::string capabilities;       ///< JSON array of strings
  std::string attributes = "{}";  ///< JSON object: what capability_filters are held against
  SystemTime created{};
  SystemTime updated{};
};

struct AppRow {
  std::string app_key;
  std::string secret_hash;
  OrganizationId organization;
};

struct UserRow {
  std::string id;
  std::string email;
  std::string password_hash;
  OrganizationId organization;
};

struct DomainServerRow {
  std::string id;
  OrganizationId organization;
  std::string name;
  std::string url;
};

struct DomainRow {
  DomainId id;
  std::string name;
  OrganizationId organization;
  std::string domain_server_id;
  std::optional<std::string> redirect_url;
};

/// Also drops what has expired.
void put_nonce(soci::session& session, const NonceRow& row, SystemTime now);
/// Reads and removes it, so that it serves once; nothing when unknown or expired.
std::optional<NonceRow> take_nonce(soci::session& session,
                                   const std::string& nonce,
                                   SystemTime now);

/// The hash of a kind ("registration"); nothing when the host set none.
struct BootstrapRow {
  std::string name;
  std::string hash;
};
std::optional<BootstrapRow> find_bootstrap(soci::session& session, const std::string& kind);
void put_bootstrap(soci::session& session, const std::string& kind, const BootstrapRow& row);

/// Inserts, or changes the row of the same wallet, whose id and creation stay. Answers the id.
NodeId put_node(soci::session& session, const NodeRow& row);
std::optional<NodeRow> find_node(soci::session& session, const auth::EthAddress& wallet);
std::optional<NodeRow> find_node(soci::session& session, const NodeId& id);
std::vector<NodeRow> list_nodes(soci::session& session);

void put_organization(soci::session& session,
                      const OrganizationId& id,
                      const std::string& name,
                      SystemTime now);

void put_app(soci::session& session, const AppRow& row, SystemTime now);
void remove_app(soci::session& session, const std::string& app_key);
std::optional<AppRow> find_app(soci::session& session, const std::string& app_key);

void put_user(soci::session& session, const UserRow& row, SystemTime now);
std::optional<UserRow> find_user_by_email(soci::session& session, const std::string& email);
std::optional<UserRow> find_user(soci::session& session, const std::string& id);

void put_domain_server(soci::session& session, const DomainServerRow& row);
std::optional<DomainServerRow> find_domain_server(soci::session& session, const std::string& id);

void add_domain(soci::session& session, const DomainRow& row, SystemTime now);
void rename_domain(soci::session& session, const DomainId& id, const std::string& name);
std::optional<DomainRow> find_domain(soci::session& session, const DomainId& id);
/// False when there was none.
bool remove_domain(soci::session& session, const DomainId& id);

struct DomainQuery {
  OrganizationId organization;   ///< empty: of all
  std::string domain_server_id;  ///< empty: of all
  int limit = 100;
  int offset = 0;
};
/// In the order of creation.
std::vector<DomainRow> list_domains(soci::session& session, const DomainQuery& query);

}  // namespace pn::market
