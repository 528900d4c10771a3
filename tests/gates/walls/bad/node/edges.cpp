#include "market/jobs.hpp"
#include "bin/run.hpp"
