#include "base/log.hpp"
#include "http/client.hpp"
#include "auth/wallet.hpp"
#include "storage/ports.hpp"
#include "runners/runner.hpp"
#include "node/lease.hpp"
#include "market/jobs.hpp"
auto x = std::getenv("HOME");
