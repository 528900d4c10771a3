#include "auth/jwt.hpp"
#include "http/server.hpp"
