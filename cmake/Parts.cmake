# A part is one folder, one namespace, one static library: pn_<name>, with an explicit source list.

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
endfunction()

# posenode_tests(<name> SOURCES ... [USES <part>...] [LIBS ...])
#   One test binary a part, one CTest entry a TEST_CASE. Tags become labels where Catch2 can (3, not 2.13).
function(posenode_tests name)
  cmake_parse_arguments(P "" "" "SOURCES;USES;LIBS" ${ARGN})
  add_executable(${name}_tests ${P_SOURCES})
  target_compile_options(${name}_tests PRIVATE $<$<CONFIG:Release>:-O0>)  # half the time; what they test is optimized
  target_link_libraries(${name}_tests PRIVATE pn_warnings pn_test_support ${P_LIBS} Catch2::Catch2WithMain)
  foreach(part IN LISTS P_USES)
    target_link_libraries(${name}_tests PRIVATE pn_${part})
  endforeach()
  catch_discover_tests(${name}_tests TEST_PREFIX "${name}: " DISCOVERY_MODE PRE_TEST ADD_TAGS_AS_LABELS
    PROPERTIES TIMEOUT 60)
endfunction()
