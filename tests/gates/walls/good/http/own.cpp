#include "http/own.hpp"
