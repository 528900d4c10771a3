#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <string_view>

namespace pn::runners::sfm {

/// What becomes log.txt: COLMAP's lines, all of them up to a size, then the last ones. A mapper
/// that runs for hours prints without end, and it is the end that tells why it failed.
class LogText {
 public:
  explicit LogText(std::size_t head_bytes = std::size_t{8} << 20, std::size_t tail_lines = 5000)
      : head_bytes_(head_bytes), tail_lines_(tail_lines) {}

  void add(std::string_view line) {
    if (head_.size() + line.size() < head_bytes_ && tail_.empty()) {
      head_.append(line) += '\n';
      return;
    }
    tail_.emplace_back(line);
    if (tail_.size() <= tail_lines_) return;
    tail_.pop_front();
    ++left_out_;
  }

  [[nodiscard]] std::string text() const {
    std::string out = head_;
    if (left_out_ > 0) out += "[" + std::to_string(left_out_) + " lines left out]\n";
    for (const std::string& line : tail_) out.append(line) += '\n';
    return out;
  }

 private:
  std::size_t head_bytes_;
  std::size_t tail_lines_;
  std::string head_;
  std::deque<std::string> tail_;
  std::size_t left_out_ = 0;
};

}  // namespace pn::runners::sfm
