#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace pn::runners {

/// Cuts a program's output into lines, whatever pieces it comes in. "\n", "\r" (a progress bar's)
/// and "\r\n" end a line; of a longer line than `limit` only the start is told.
class LineSplitter {
 public:
  explicit LineSplitter(std::function<void(std::string_view line)> on_line,
                        std::size_t limit = 8 * 1024)
      : on_line_(std::move(on_line)), limit_(limit) {}

  void add(std::string_view bytes);
  /// The last line, when it had no end.
  void finish();

 private:
  void tell();

  std::function<void(std::string_view)> on_line_;
  std::size_t limit_;
  std::string line_;
  bool after_return_ = false;  ///< a "\n" now belongs to the "\r" before it
  bool started_ = false;
};

}  // namespace pn::runners
