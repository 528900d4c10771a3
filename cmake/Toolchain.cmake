# How every target of ours is compiled. Dependencies come in as SYSTEM, so the warnings are about our code alone.

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Sloppy in what a precompiled header makes it so: macros of the header count, times of files do not.
  set(CMAKE_CXX_COMPILER_LAUNCHER
      ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${CCACHE_PROGRAM})
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()
find_program(MOLD_PROGRAM mold)
if(MOLD_PROGRAM)
  # The second keeps what runs once at the start (Asio gives nearly every file such a function) on pages of its own, as
  # other linkers do by themselves: else it pulls in the whole program, 2 MiB of an idle node.
  add_link_options(-fuse-ld=mold -Wl,-z,keep-text-section-prefix)
endif()

add_library(pn_warnings INTERFACE)
target_compile_options(pn_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wnon-virtual-dtor -Woverloaded-virtual -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # False alarm where g++ inlines one of the pair with which Asio allocates a coroutine's frame, and not the other.
  target_compile_options(pn_warnings INTERFACE -Wno-mismatched-new-delete)
endif()

# -O3 costs a tenth more code, resident and to compile, and nothing here gets faster by it.
string(REPLACE "-O3" "-O2" CMAKE_CXX_FLAGS_RELEASE "${CMAKE_CXX_FLAGS_RELEASE}")

# Sections let the linker drop what a static dependency brings and nobody calls; --as-needed keeps the resident set of
# an idle node small: each shared library costs pages whether it is used or not.
add_compile_options(-ffunction-sections -fdata-sections)
add_link_options(-Wl,--gc-sections -Wl,--as-needed)

if(POSENODE_SANITIZE STREQUAL "address" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # What g++ is here for is its coroutine frames, which ASan shows. Undefined behaviour is clang's run, over the same
  # tests: with UBSan g++ 12 takes 18 s for a file of coroutines instead of 4.
  # -O0 for time: its coroutines go wrong at every level or at none.
  add_compile_options(-fsanitize=address -fno-omit-frame-pointer -g1 -O0)
  add_link_options(-fsanitize=address)
elseif(POSENODE_SANITIZE STREQUAL "address")
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -g1)
  add_link_options(-fsanitize=address,undefined)
elseif(POSENODE_SANITIZE STREQUAL "thread")
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer -g1)
  add_link_options(-fsanitize=thread)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-Wno-tsan)  # Asio's fences
  endif()
elseif(POSENODE_SANITIZE STREQUAL "fuzzer")
  # Of clang only; what is in a test's program and what is libFuzzer's is told in tests/fuzz. Without trace-cmp, which took
  # 40 % of the time: with it, a minute reached less of the code, since the magic numbers are in the dictionaries.
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-coverage=trace-cmp
    -fno-sanitize-recover=all -fno-omit-frame-pointer -gline-tables-only)
  add_link_options(-fsanitize=address,undefined)
elseif(NOT POSENODE_SANITIZE STREQUAL "")
  message(FATAL_ERROR "POSENODE_SANITIZE is '${POSENODE_SANITIZE}'; it may be empty, address, thread or fuzzer")
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Debug")
  add_compile_options(-gsplit-dwarf)
endif()
