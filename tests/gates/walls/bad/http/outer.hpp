#pragma once
#include "http/inner.hpp"
