#include "http/outer.hpp"
#include "base/low.hpp"
