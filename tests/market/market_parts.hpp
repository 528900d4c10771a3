#pragma once

#include "auth/jwt.hpp"
#include "base/ids.hpp"
#include "market/bootstrap.hpp"
#include "market/context.hpp"
#include "market/database.hpp"
#include "market/identity_store.hpp"
#include "market/settings.hpp"
#include "market/tokens.hpp"
#include "tests/support/fake_rng.hpp"
#include "tests/support/temp_folder.hpp"
#include "tests/support/test_loop.hpp"

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include <catch2/catch.hpp>

namespace pn::market::testing {

/// What handlers and services work with, without a market around it: no loop of its own runs.
struct MarketParts {
  pn::testing::TempFolder folder;
  pn::testing::TestLoop loop;
  pn::testing::FakeRng rng;
  MarketSettings settings;
  std::string url = "http://market.test";
  auth::SigningKey key = auth::SigningKey::generate();
  std::unique_ptr<Database> database = open(folder.path / "market.sqlite", loop.clock);
  Bootstrapped first = *bootstrap(*database, loop.clock, rng, settings.bootstrap, url);
  Tokens tokens{key, loop.clock, rng, url};
  MarketContext context{.clock = loop.clock,
                        .rng = rng,
                        .logger = {},
                        .settings = settings,
                        .public_url = url,
                        .first = first,
                        .key = key,
                        .database = *database,
                        .tokens = tokens};

  /// Writes the node's row, as a registration with this JSON array does.
  NodeId put(const std::string& node, const std::string& capabilities) {
    NodeRow row;
    row.id = NodeId(node);
    row.wallet = auth::EthAddress(node);
    row.organization = first.organization;
    row.capabilities = capabilities;
    const std::function<Result<NodeId>(soci::session&)> work =
        [&](soci::session& session) -> Result<NodeId> { return put_node(session, row); };
    return *database->write_now<NodeId>(work);
  }

 private:
  static std::unique_ptr<Database> open(const std::filesystem::path& file, const Clock& clock) {
    auto opened = Database::open(file, clock, {});
    REQUIRE(opened.ok());
    return std::move(*opened);
  }
};

}  // namespace pn::market::testing
