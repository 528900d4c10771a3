#pragma once

// The tests are written for Catch2 2.13 (Debian 12). Where the system has version 3 (Debian 13),
// tests/CMakeLists.txt puts this header first: the same names from where they are now.
#include <string>

#include <catch2/catch_all.hpp>

using Catch::Approx;

namespace Catch {
using Matchers::EndsWith;
using Matchers::StartsWith;
inline auto Contains(const std::string& text) { return Matchers::ContainsSubstring(text); }
}  // namespace Catch
