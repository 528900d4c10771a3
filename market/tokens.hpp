#pragma once

#include "auth/jwt.hpp"
#include "base/clock.hpp"
#include "base/digest.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"

#include <chrono>
#include <cstring>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace pn::market {

using OrganizationId = StrongId<struct OrganizationIdTag>;

/// The `type` claim.
enum class TokenType {
  node_access,   ///< "node-access": a compute node, for DMS
  task_access,   ///< "task-access": the holder of a lease, for one domain's data
  user_access,   ///< "user-access": a person; with a domain_id it is a grant
  user_refresh,  ///< "user-refresh"
  app_access     ///< "app-access": a program; with a domain_id it is a grant
};
std::string_view name(TokenType type);

/// What a verified token says.
struct TokenClaims {
  TokenType type = TokenType::user_access;
  std::string subject;  ///< node id, user id or app key
  OrganizationId organization;
  DomainId domain;  ///< empty: not bound to a domain
  TaskId task;      ///< of a task token
  LeaseId lease;    ///< that the task had; empty also in tokens of older markets
  std::vector<std::string> scopes;
  std::string credentials;  ///< of a refresh token: a mark of those it came from
  SystemTime expires{};

  [[nodiscard]] bool has_scope(std::string_view scope) const;

  friend bool operator==(const TokenClaims&, const TokenClaims&) = default;
};

struct MintedToken {
  std::string text;
  SystemTime expires{};
};

enum class DataAccess { read, write };

/// The right to a domain's data, from a task token or a domain grant.
struct DomainGrant {
  DomainId domain;
  OrganizationId organization;
  std::string subject;
  TaskId task;    ///< empty for a client's grant
  LeaseId lease;  ///< writes need the task to have it still (check_lease); empty: they do not
  std::vector<std::string> scopes;
};

/// Mints and verifies the market's tokens (ES256, issuer "dds", wire.md).
///
/// A token that was verified once is known by its SHA-256 until it expires, so that the node that
/// beats every few seconds costs a hash and not a signature check. Thread: one loop's.
class Tokens final {
 public:
  /// `audience` is the domain server's URL. All but `audience` outlive this.
  Tokens(const auth::SigningKey& key, const Clock& clock, Rng& rng, std::string audience);

  /// Where the address is known late, after listening: before the first token.
  void set_audience(std::string audience) { audience_ = std::move(audience); }

  [[nodiscard]] MintedToken mint_node(const NodeId& node,
                                      const OrganizationId& organization,
                                      std::chrono::seconds ttl);
  [[nodiscard]] MintedToken mint_task(const TaskId& task,
                                      const LeaseId& lease,
                                      const NodeId& node,
                                      const OrganizationId& organization,
                                      const DomainId& domain,
                                      std::chrono::seconds ttl);
  /// A user's or an app's own access token, bound to no domain.
  [[nodiscard]] MintedToken mint_account(TokenType type,
                                         std::string_view subject,
                                         const OrganizationId& organization,
                                         std::chrono::seconds ttl);
  /// A user's refresh token: serves as long as the credentials have this mark.
  [[nodiscard]] MintedToken mint_refresh(std::string_view user,
                                         const OrganizationId& organization,
                                         std::string credentials,
                                         std::chrono::seconds ttl);
  /// A domain grant for the holder of `account`.
  [[nodiscard]] MintedToken mint_grant(const TokenClaims& account,
                                       const DomainId& domain,
                                       std::chrono::seconds ttl);

  /// Kind `unauthorized`: malformed, another key's, expired.
  Result<TokenClaims> verify(std::string_view token);

  /// For the domain server. Kind `unauthorized` for no valid token or none of a domain; `rejected`,
  /// code "forbidden", for another domain's or one whose scopes do not allow it.
  Result<DomainGrant> domain_grant(std::string_view token,
                                   const DomainId& domain,
                                   DataAccess access);

  /// Signatures checked so far.
  [[nodiscard]] std::uint64_t signature_checks() const { return signature_checks_; }

 private:
  struct DigestHash {
    std::size_t operator()(const Sha256Digest& digest) const noexcept {
      std::size_t out = 0;
      std::memcpy(&out, digest.data(), sizeof(out));
      return out;
    }
  };

  MintedToken mint(const TokenClaims& claims, std::chrono::seconds ttl);
  void remember(const Sha256Digest& digest, const TokenClaims& claims);

  const auth::SigningKey& key_;
  const Clock& clock_;
  Rng& rng_;
  std::string audience_;

  std::unordered_map<Sha256Digest, TokenClaims, DigestHash> known_;
  std::uint64_t signature_checks_ = 0;
};

}  // namespace pn::market
