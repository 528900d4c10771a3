#include "market/identity_store.hpp"

#include "market/sql_values.hpp"

#include <optional>
#include <string>
#include <vector>

#include <soci/soci.h>

namespace pn::market {
namespace {

using soci::into;
using soci::use;

constexpr const char* kNodeColumns =
    "SELECT id, wallet, organization_id, version, capabilities, attributes, created_ms, updated_ms"
    " FROM nodes";

/// The columns of kNodeColumns, and the row they make.
struct NodeFields {
  std::string id, wallet, organization, version, capabilities, attributes;
  long long created = 0;
  long long updated = 0;

  [[nodiscard]] NodeRow row() const {
    NodeRow out;
    out.id = NodeId(id);
    out.wallet = auth::EthAddress(wallet);
    out.organization = OrganizationId(organization);
    out.version = version;
    out.capabilities = capabilities;
    out.attributes = attributes;
    out.created = from_ms(created);
    out.updated = from_ms(updated);
    return out;
  }
};

std::optional<NodeRow> find_node_by(soci::session& session,
                                    const char* condition,
                                    const std::string& value) {
  NodeFields f;
  session << kNodeColumns << condition, use(value), into(f.id), into(f.wallet),
      into(f.organization), into(f.version), into(f.capabilities), into(f.attributes),
      into(f.created), into(f.updated);
  if (!session.got_data()) return std::nullopt;
  return f.row();
}

std::optional<UserRow> find_user_by(soci::session& session,
                                    const char* condition,
                                    const std::string& value) {
  UserRow row;
  std::string organization;
  session << "SELECT id, email, password_hash, organization_id FROM users" << condition, use(value),
      into(row.id), into(row.email), into(row.password_hash), into(organization);
  if (!session.got_data()) return std::nullopt;
  row.organization = OrganizationId(organization);
  return row;
}

struct DomainFields {
  std::string id, name, organization, server, redirect;
  soci::indicator has_redirect = soci::i_null;

  [[nodiscard]] DomainRow row() const {
    DomainRow out;
    out.id = DomainId(id);
    out.name = name;
    out.organization = OrganizationId(organization);
    out.domain_server_id = server;
    if (has_redirect == soci::i_ok) out.redirect_url = redirect;
    return out;
  }
};

}  // namespace

void put_nonce(soci::session& session, const NonceRow& row, SystemTime now) {
  const long long now_ms = to_ms(now);
  session << "DELETE FROM nonces WHERE expires_ms <= :now", use(now_ms);
  const std::string& wallet = row.wallet.str();
  const long long expires = to_ms(row.expires);
  session << "INSERT INTO nonces(nonce, wallet, issued_at, expires_ms) VALUES(:n, :w, :i, :e)",
      use(row.nonce), use(wallet), use(row.issued_at), use(expires);
}

std::optional<NonceRow> take_nonce(soci::session& session,
                                   const std::string& nonce,
                                   SystemTime now) {
  NonceRow row;
  std::string wallet;
  long long expires = 0;
  session << "SELECT nonce, wallet, issued_at, expires_ms FROM nonces WHERE nonce = :n", use(nonce),
      into(row.nonce), into(wallet), into(row.issued_at), into(expires);
  if (!session.got_data()) return std::nullopt;
  session << "DELETE FROM nonces WHERE nonce = :n", use(nonce);
  if (expires <= to_ms(now)) return std::nullopt;
  row.wallet = auth::EthAddress(wallet);
  row.expires = from_ms(expires);
  return row;
}

std::optional<BootstrapRow> find_bootstrap(soci::session& session, const std::string& kind) {
  BootstrapRow row;
  session << "SELECT name, hash FROM bootstrap WHERE kind = :k", use(kind), into(row.name),
      into(row.hash);
  if (!session.got_data()) return std::nullopt;
  return row;
}

void put_bootstrap(soci::session& session, const std::string& kind, const BootstrapRow& row) {
  session << "INSERT INTO bootstrap(kind, name, hash) VALUES(:k, :n, :h)"
             " ON CONFLICT(kind) DO UPDATE SET name = excluded.name, hash = excluded.hash",
      use(kind), use(row.name), use(row.hash);
}

NodeId put_node(soci::session& session, const NodeRow& row) {
  const long long now = to_ms(row.updated);
  const long long created = to_ms(row.created);
  session << "INSERT INTO nodes(id, wallet, organization_id, version, capabilities, attributes,"
             " created_ms, updated_ms) VALUES(:i, :w, :o, :v, :c, :a, :cr, :up)"
             " ON CONFLICT(wallet) DO UPDATE SET version = excluded.version,"
             " capabilities = excluded.capabilities, attributes = excluded.attributes,"
             " updated_ms = excluded.updated_ms",
      use(row.id.str()), use(row.wallet.str()), use(row.organization.str()), use(row.version),
      use(row.capabilities), use(row.attributes), use(created), use(now);
  std::string id;
  session << "SELECT id FROM nodes WHERE wallet = :w", use(row.wallet.str()), into(id);
  return NodeId(id);
}

std::optional<NodeRow> find_node(soci::session& session, const auth::EthAddress& wallet) {
  return find_node_by(session, " WHERE wallet = :w", wallet.str());
}

std::optional<NodeRow> find_node(soci::session& session, const NodeId& id) {
  return find_node_by(session, " WHERE id = :i", id.str());
}

std::vector<NodeRow> list_nodes(soci::session& session) {
  std::vector<NodeRow> out;
  NodeFields f;
  soci::statement rows = (session.prepare << kNodeColumns << " ORDER BY created_ms, id",
                          into(f.id),
                          into(f.wallet),
                          into(f.organization),
                          into(f.version),
                          into(f.capabilities),
                          into(f.attributes),
                          into(f.created),
                          into(f.updated));
  rows.execute();
  while (rows.fetch()) out.push_back(f.row());
  return out;
}

void put_organization(soci::session& session,
                      const OrganizationId& id,
                      const std::string& name,
                      SystemTime now) {
  const long long created = to_ms(now);
  session << "INSERT INTO organizations(id, name, created_ms) VALUES(:i, :n, :c)", use(id.str()),
      use(name), use(created);
}

void put_app(soci::session& session, const AppRow& row, SystemTime now) {
  const long long created = to_ms(now);
  session << "INSERT INTO apps(app_key, secret_hash, organization_id, created_ms)"
             " VALUES(:k, :s, :o, :c)"
             " ON CONFLICT(app_key) DO UPDATE SET secret_hash = excluded.secret_hash",
      use(row.app_key), use(row.secret_hash), use(row.organization.str()), use(created);
}

void remove_app(soci::session& session, const std::string& app_key) {
  session << "DELETE FROM apps WHERE app_key = :k", use(app_key);
}

std::optional<AppRow> find_app(soci::session& session, const std::string& app_key) {
  AppRow row;
  std::string organization;
  session << "SELECT app_key, secret_hash, organization_id FROM apps WHERE app_key = :k",
      use(app_key), into(row.app_key), into(row.secret_hash), into(organization);
  if (!session.got_data()) return std::nullopt;
  row.organization = OrganizationId(organization);
  return row;
}

void put_user(soci::session& session, const UserRow& row, SystemTime now) {
  const long long created = to_ms(now);
  session << "INSERT INTO users(id, email, password_hash, organization_id, created_ms)"
             " VALUES(:i, :e, :p, :o, :c)"
             " ON CONFLICT(id) DO UPDATE SET email = excluded.email,"
             " password_hash = excluded.password_hash",
      use(row.id), use(row.email), use(row.password_hash), use(row.organization.str()),
      use(created);
}

std::optional<UserRow> find_user_by_email(soci::session& session, const std::string& email) {
  return find_user_by(session, " WHERE email = :e", email);
}

std::optional<UserRow> find_user(soci::session& session, const std::string& id) {
  return find_user_by(session, " WHERE id = :i", id);
}

void put_domain_server(soci::session& session, const DomainServerRow& row) {
  session << "INSERT INTO domain_servers(id, organization_id, name, url) VALUES(:i, :o, :n, :u)"
             " ON CONFLICT(id) DO UPDATE SET url = excluded.url",
      use(row.id), use(row.organization.str()), use(row.name), use(row.url);
}

std::optional<DomainServerRow> find_domain_server(soci::session& session, const std::string& id) {
  DomainServerRow row;
  std::string organization;
  session << "SELECT id, organization_id, name, url FROM domain_servers WHERE id = :i", use(id),
      into(row.id), into(organization), into(row.name), into(row.url);
  if (!session.got_data()) return std::nullopt;
  row.organization = OrganizationId(organization);
  return row;
}

void add_domain(soci::session& session, const DomainRow& row, SystemTime now) {
  const long long created = to_ms(now);
  soci::indicator has = row.redirect_url ? soci::i_ok : soci::i_null;
  const std::string redirect = row.redirect_url.value_or("");
  session << "INSERT INTO domains(id, name, organization_id, domain_server_id, redirect_url,"
             " created_ms) VALUES(:i, :n, :o, :s, :r, :c)",
      use(row.id.str()), use(row.name), use(row.organization.str()), use(row.domain_server_id),
      use(redirect, has), use(created);
}

void rename_domain(soci::session& session, const DomainId& id, const std::string& name) {
  session << "UPDATE domains SET name = :n WHERE id = :i", use(name), use(id.str());
}

std::optional<DomainRow> find_domain(soci::session& session, const DomainId& id) {
  DomainFields f;
  session << "SELECT id, name, organization_id, domain_server_id, redirect_url FROM domains"
             " WHERE id = :i",
      use(id.str()), into(f.id), into(f.name), into(f.organization), into(f.server),
      into(f.redirect, f.has_redirect);
  if (!session.got_data()) return std::nullopt;
  return f.row();
}

bool remove_domain(soci::session& session, const DomainId& id) {
  soci::statement removing =
      (session.prepare << "DELETE FROM domains WHERE id = :i", use(id.str()));
  removing.execute(true);
  return removing.get_affected_rows() > 0;
}

std::vector<DomainRow> list_domains(soci::session& session, const DomainQuery& query) {
  std::vector<DomainRow> out;
  DomainFields f;
  const std::string& organization = query.organization.str();
  soci::statement rows =
      (session.prepare << "SELECT id, name, organization_id, domain_server_id, redirect_url"
                          " FROM domains WHERE (:o = '' OR organization_id = :o)"
                          " AND (:s = '' OR domain_server_id = :s)"
                          " ORDER BY seq LIMIT :l OFFSET :f",
       use(organization, "o"),
       use(query.domain_server_id, "s"),
       use(query.limit, "l"),
       use(query.offset, "f"),
       into(f.id),
       into(f.name),
       into(f.organization),
       into(f.server),
       into(f.redirect, f.has_redirect));
  rows.execute();
  while (rows.fetch()) out.push_back(f.row());
  return out;
}

}  // namespace pn::market
