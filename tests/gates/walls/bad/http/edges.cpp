#include "http/edges.hpp"
#include "auth/wallet.hpp"
#include "edges.hpp"
#include "elsewhere/thing.hpp"
