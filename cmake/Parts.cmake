# A part is one folder, one namespace, one static library: pn_<name>, with an explicit source list.

# What nearly every file includes, parsed once a build folder (half of a test's time): each part reuses what pn_precompiled
# made, each test binary what pn_test_support made. It holds nothing of ours, so that a change rebuilds what it did before. A file
# that forgets an include is found by clang-tidy, which reads without it (preset lint).
set(POSENODE_PRECOMPILED
  <boost/asio/any_io_executor.hpp> <boost/asio/awaitable.hpp> <tl/expected.hpp>
  <algorithm> <atomic> <chrono> <cstddef> <cstdint> <exception> <filesystem> <functional> <map> <memory> <mutex>
  <optional> <set> <span> <string> <string_view> <system_error> <utility> <variant> <vector>)

function(posenode_precompile target)
  cmake_parse_arguments(P "" "REUSE" "HEADERS" ${ARGN})
  if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    # Without times in it the same headers make the same file, which ccache asks for.
    target_compile_options(${target} PRIVATE "SHELL:-Xclang -fno-pch-timestamp")
  endif()
  if(P_REUSE)
    target_precompile_headers(${target} REUSE_FROM ${P_REUSE})
  else()
    target_precompile_headers(${target} PRIVATE ${P_HEADERS})
  endif()
endfunction()

# Nothing but that header, with no more definitions than all parts have: g++ insists.
add_library(pn_precompiled STATIC ${PROJECT_SOURCE_DIR}/cmake/precompiled.cpp)
target_link_libraries(pn_precompiled PRIVATE pn_warnings pn_asio pn_dep_expected)
posenode_precompile(pn_precompiled HEADERS ${POSENODE_PRECOMPILED})

# posenode_part(<name> SOURCES ... [USES <part>...] [LIBS <dependency>...])
#   USES: the parts of ours that its headers speak of. LIBS: foreign libraries its sources call.
function(posenode_part name)
  cmake_parse_arguments(P "" "" "SOURCES;USES;LIBS" ${ARGN})
  add_library(pn_${name} STATIC ${P_SOURCES})
  target_include_directories(pn_${name} PUBLIC ${PROJECT_SOURCE_DIR})
  target_link_libraries(pn_${name} PRIVATE pn_warnings ${P_LIBS})
  if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    target_compile_options(pn_${name} PRIVATE -Wglobal-constructors)
  endif()
  target_link_libraries(pn_${name} PUBLIC pn_asio)
  foreach(part IN LISTS P_USES)
    target_link_libraries(pn_${name} PUBLIC pn_${part})
  endforeach()
  posenode_precompile(pn_${name} REUSE pn_precompiled)
endfunction()

function(posenode_test_options target)
  target_compile_options(${target} PRIVATE -O0)  # half the time; what they test is optimized
endfunction()

# posenode_tests(<name> SOURCES ... [USES <part>...] [LIBS ...])
#   One test binary a part, one CTest entry a TEST_CASE. Tags become labels where Catch2 can (3, not 2.13).
function(posenode_tests name)
  cmake_parse_arguments(P "" "" "SOURCES;USES;LIBS" ${ARGN})
  add_executable(${name}_tests ${P_SOURCES})
  posenode_test_options(${name}_tests)
  posenode_precompile(${name}_tests REUSE pn_test_support)
  target_link_libraries(${name}_tests PRIVATE pn_warnings pn_test_support ${P_LIBS} Catch2::Catch2WithMain)
  foreach(part IN LISTS P_USES)
    target_link_libraries(${name}_tests PRIVATE pn_${part})
  endforeach()
  catch_discover_tests(${name}_tests TEST_PREFIX "${name}:" DISCOVERY_MODE PRE_TEST ADD_TAGS_AS_LABELS
    PROPERTIES TIMEOUT 60)
endfunction()
