#pragma once

#include <string_view>

namespace pn {

#ifdef POSENODE_CRASH_POINTS
/// A moment at which a test may have the process die. Defined by the test's own main
/// (tests/crash/crash_main.cpp), into which the files with such moments are compiled once more.
void crash_point(std::string_view name);
#else
/// Nothing, in everything that is shipped.
inline void crash_point(std::string_view /*name*/) {}
#endif

}  // namespace pn
