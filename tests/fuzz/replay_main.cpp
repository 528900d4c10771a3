#include "tests/fuzz/fuzz.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

// Runs a target once on every file of the folders given, in a build without libFuzzer: so that each
// compiler and sanitizer sees what the fuzzer found worth keeping.
int main(int argc, char** argv) {
  std::size_t count = 0;
  for (int i = 1; i < argc; ++i) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(argv[i])) {
      if (!entry.is_regular_file()) continue;
      std::ifstream file(entry.path(), std::ios::binary);
      const std::string bytes{std::istreambuf_iterator<char>(file), {}};
      // A buffer of its exact size, so that a sanitizer sees one byte too far.
      const std::vector<std::uint8_t> exact(bytes.begin(), bytes.end());
      std::fprintf(stderr, "%s\n", entry.path().c_str());  // the last one named is the culprit
      LLVMFuzzerTestOneInput(exact.data(), exact.size());
      ++count;
    }
  }
  std::printf("%zu inputs\n", count);
  return count == 0 ? 1 : 0;
}
