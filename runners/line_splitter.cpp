#include "runners/line_splitter.hpp"

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <utility>

namespace pn::runners {

void LineSplitter::add(std::string_view bytes) {
  while (!bytes.empty()) {
    if (std::exchange(after_return_, false) && bytes.front() == '\n') {
      bytes.remove_prefix(1);
      continue;
    }
    const std::size_t end = std::min(bytes.find_first_of("\r\n"), bytes.size());
    started_ = started_ || end > 0;
    line_.append(bytes.substr(0, std::min(end, limit_ - line_.size())));
    if (end == bytes.size()) return;
    after_return_ = bytes[end] == '\r';
    tell();
    bytes.remove_prefix(end + 1);
  }
}

void LineSplitter::finish() {
  if (started_) tell();
}

void LineSplitter::tell() {
  started_ = false;
  if (on_line_) on_line_(line_);
  line_.clear();
}

}  // namespace pn::runners
