#include "market/tokens.hpp"

#include "auth/jwt.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "tests/support/fake_clock.hpp"
#include "tests/support/fake_rng.hpp"

#include <chrono>

#include <catch2/catch.hpp>

namespace pn::market {
namespace {

using std::chrono::seconds;

struct Minting {
  testing::FakeClock clock;
  testing::FakeRng rng;
  auth::SigningKey key = auth::SigningKey::generate();
  Tokens tokens{key, clock, rng, "http://market.test"};
  const OrganizationId org{"org-1"};
  const DomainId domain{"domain-1"};
};

}  // namespace

TEST_CASE("tokens: what is minted is what is verified", "[market][tokens]") {
  Minting m;
  const MintedToken token = m.tokens.mint_node(NodeId("n1"), m.org, seconds(60));
  CHECK(token.expires == m.clock.system_now() + seconds(60));
  const auto claims = m.tokens.verify(token.text);
  REQUIRE(claims.ok());
  CHECK(claims->type == TokenType::node_access);
  CHECK(claims->subject == "n1");
  CHECK(claims->organization == m.org);
  CHECK(claims->domain.empty());
  CHECK(claims->expires == token.expires);
}

TEST_CASE("tokens: a repeated token costs one signature check, and still expires",
          "[market][tokens]") {
  Minting m;
  const MintedToken token = m.tokens.mint_node(NodeId("n1"), m.org, seconds(60));
  for (int i = 0; i < 5; ++i) CHECK(m.tokens.verify(token.text).ok());
  CHECK(m.tokens.signature_checks() == 1);
  m.clock.advance(seconds(59));
  CHECK(m.tokens.verify(token.text).ok());
  m.clock.advance(seconds(1));
  CHECK(m.tokens.verify(token.text).error().code == "token_expired");
  CHECK(m.tokens.verify(token.text).error().kind == ErrorKind::unauthorized);
}

TEST_CASE("tokens: another key's token is refused, and not remembered", "[market][tokens]") {
  Minting m;
  Minting other;
  const MintedToken token = other.tokens.mint_node(NodeId("n1"), m.org, seconds(60));
  CHECK(m.tokens.verify(token.text).error().kind == ErrorKind::unauthorized);
  CHECK(m.tokens.verify(token.text).error().kind == ErrorKind::unauthorized);
  CHECK(m.tokens.verify("nonsense").error().kind == ErrorKind::unauthorized);
}

TEST_CASE("tokens: a grant opens its own domain and no other", "[market][tokens]") {
  Minting m;
  const auto account =
      m.tokens.verify(m.tokens.mint_account(TokenType::app_access, "app", m.org, seconds(60)).text);
  REQUIRE(account.ok());
  const MintedToken grant = m.tokens.mint_grant(*account, m.domain, seconds(60));
  const auto good = m.tokens.domain_grant(grant.text, m.domain, DataAccess::write);
  REQUIRE(good.ok());
  CHECK(good->subject == "app");
  CHECK(good->organization == m.org);
  CHECK(good->task.empty());
  CHECK(m.tokens.domain_grant(grant.text, DomainId("other"), DataAccess::read).error().code ==
        "forbidden");
}

TEST_CASE("tokens: a task token opens data; a node's own token does not", "[market][tokens]") {
  Minting m;
  const MintedToken task =
      m.tokens.mint_task(TaskId("t1"), LeaseId("l1"), NodeId("n1"), m.org, m.domain, seconds(60));
  const auto good = m.tokens.domain_grant(task.text, m.domain, DataAccess::write);
  REQUIRE(good.ok());
  CHECK(good->task == TaskId("t1"));
  CHECK(good->lease == LeaseId("l1"));
  const MintedToken node = m.tokens.mint_node(NodeId("n1"), m.org, seconds(60));
  CHECK(m.tokens.domain_grant(node.text, m.domain, DataAccess::read).error().kind ==
        ErrorKind::unauthorized);
}

}  // namespace pn::market
