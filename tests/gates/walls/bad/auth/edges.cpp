#include "storage/ports.hpp"
