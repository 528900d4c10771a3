#include "node/lease.hpp"
#include "market/jobs.hpp"
