#pragma once

#include "base/result.hpp"
#include "bin/environment.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pn::bin {

enum class Colour { none, red, green, yellow, dim, bold };

/// What standard output is.
struct Terminal {
  bool tty = false;
  bool colours = false;  ///< on a terminal, unless NO_COLOR is set or TERM is "dumb"
  std::size_t width = 80;

  static Terminal of(int fd, const Environment& environment);

  [[nodiscard]] std::string paint(Colour colour, std::string_view text) const;
};

/// The colour of a job's or a task's status.
Colour status_colour(std::string_view status);

/// Rows under a heading, in columns as wide as their widest cell; two blanks between. Cells of
/// `painted` are coloured by status_colour.
class Table {
 public:
  explicit Table(std::vector<std::string> heading);
  void add(std::vector<std::string> row);
  [[nodiscard]] bool empty() const { return rows_.size() == 1; }
  /// `status_column`: which column holds a status, to be coloured; npos: none.
  [[nodiscard]] std::string text(const Terminal& terminal,
                                 std::size_t status_column = std::string::npos) const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

/// "12 B", "3.4 KiB", "1.2 GiB".
std::string format_bytes(std::uint64_t bytes);

/// Text of others (a label, a message, an error) with control characters made "?": it must not move
/// the cursor.
std::string printable(std::string_view text);

/// How many columns a UTF-8 text takes, counting each code point as one.
std::size_t columns(std::string_view text);
/// How many bytes its first `width` columns are.
std::size_t bytes_in(std::string_view text, std::size_t width);
/// At most `width` columns of it, "…" at the end when cut.
std::string cut(std::string_view text, std::size_t width);

/// To standard output, unbuffered, as it stands.
void print(std::string_view text);
/// Why print() could not write, the first time; nothing when all went out, or the reader closed its
/// pipe. Main thread.
std::optional<Error>& output_failure();
/// "posenode: <text>" and a line end, to standard error; secrets are taken out (redaction.hpp).
void complain(std::string_view text);
void complain(const Error& error);

}  // namespace pn::bin
