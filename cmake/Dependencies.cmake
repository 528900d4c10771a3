# Every foreign library, once, as SYSTEM. All are Debian packages: scripts/packages.txt lists them.

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(Boost 1.81 REQUIRED)
find_package(OpenSSL 3 REQUIRED)
find_package(CURL 7.88 REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(PNG REQUIRED)
find_package(JPEG REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
find_package(spdlog REQUIRED)
find_package(CLI11 REQUIRED)
pkg_check_modules(SECP256K1 REQUIRED IMPORTED_TARGET libsecp256k1)

# Asio is compiled once, here, not in every file that includes it.
add_library(pn_asio STATIC ${PROJECT_SOURCE_DIR}/cmake/asio.cpp)
target_compile_definitions(pn_asio PUBLIC
  BOOST_ASIO_SEPARATE_COMPILATION BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_NO_TS_EXECUTORS
  BOOST_BEAST_SEPARATE_COMPILATION BOOST_ASIO_DISABLE_VISIBILITY)
target_include_directories(pn_asio SYSTEM PUBLIC ${Boost_INCLUDE_DIRS})
target_link_libraries(pn_asio PUBLIC Threads::Threads)

# Used by one .cpp only, so header-only costs nothing at build time and saves two shared libraries at run time.
add_library(pn_dep_spdlog INTERFACE)
target_compile_definitions(pn_dep_spdlog INTERFACE SPDLOG_FMT_EXTERNAL FMT_HEADER_ONLY)  # spdlog's own target links fmt

add_library(pn_dep_json INTERFACE)
target_link_libraries(pn_dep_json INTERFACE nlohmann_json::nlohmann_json)

add_library(pn_dep_expected INTERFACE)  # tl/expected.hpp stands in /usr/include

# Keccak-256 only; static, so that the linker drops the other four megabytes.
find_library(CRYPTOPP_STATIC NAMES libcryptopp.a REQUIRED)
add_library(pn_dep_cryptopp INTERFACE)
target_link_libraries(pn_dep_cryptopp INTERFACE ${CRYPTOPP_STATIC})

find_library(SOCI_CORE_STATIC NAMES libsoci_core.a REQUIRED)
find_library(SOCI_SQLITE3_STATIC NAMES libsoci_sqlite3.a REQUIRED)
add_library(pn_dep_soci INTERFACE)
target_include_directories(pn_dep_soci SYSTEM INTERFACE /usr/include/soci)
target_link_libraries(pn_dep_soci INTERFACE ${SOCI_SQLITE3_STATIC} ${SOCI_CORE_STATIC} SQLite::SQLite3 ${CMAKE_DL_LIBS})

add_library(pn_dep_sqlite INTERFACE)  # a node's own state, without a layer over it
target_link_libraries(pn_dep_sqlite INTERFACE SQLite::SQLite3)

find_library(PROMETHEUS_CORE NAMES prometheus-cpp-core REQUIRED)  # its package's CMake file wants civetweb and curl too
add_library(pn_dep_prometheus INTERFACE)
target_link_libraries(pn_dep_prometheus INTERFACE ${PROMETHEUS_CORE})

find_library(DRACO_STATIC NAMES libdraco.a REQUIRED)
add_library(pn_dep_draco INTERFACE)
target_link_libraries(pn_dep_draco INTERFACE ${DRACO_STATIC})

# Static, so that only zip, tar and three filters come along: the shared library brings libxml2, ICU and libacl into every
# process for formats that we do not open (1 MiB resident in an idle node).
find_library(ARCHIVE_STATIC NAMES libarchive.a REQUIRED)
find_library(BZ2_STATIC NAMES libbz2.a REQUIRED)
find_library(LZMA_STATIC NAMES liblzma.a REQUIRED)
find_package(ZLIB REQUIRED)
pkg_check_modules(ARCHIVE_NEEDS REQUIRED IMPORTED_TARGET libzstd nettle)
add_library(pn_dep_archive INTERFACE)
target_link_libraries(pn_dep_archive INTERFACE
  ${ARCHIVE_STATIC} ${BZ2_STATIC} ${LZMA_STATIC} ZLIB::ZLIB PkgConfig::ARCHIVE_NEEDS)
