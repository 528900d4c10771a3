#include "storage/ports.hpp"
  #  include "node/lease.hpp"
