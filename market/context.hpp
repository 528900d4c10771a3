#pragma once

#include "auth/jwt.hpp"
#include "base/clock.hpp"
#include "base/log.hpp"
#include "base/rng.hpp"
#include "market/bootstrap.hpp"
#include "market/database.hpp"
#include "market/settings.hpp"
#include "market/tokens.hpp"

#include <string>

namespace pn::market {

/// What every handler of the market works with. All of it outlives the handlers and belongs to the
/// market's loop, but for the Database's threads.
struct MarketContext {
  Clock& clock;
  Rng& rng;
  log::Logger logger;
  const MarketSettings& settings;
  const std::string& public_url;  ///< without a slash at its end
  const Bootstrapped& first;
  const auth::SigningKey& key;
  Database& database;
  Tokens& tokens;
};

}  // namespace pn::market
