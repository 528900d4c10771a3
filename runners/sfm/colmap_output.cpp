#include "runners/sfm/colmap_output.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cstddef>
#include <optional>
#include <string_view>
#include <system_error>
#include <vector>

namespace pn::runners::sfm {
namespace {

constexpr std::string_view kProcessed = "Processed file [";
constexpr std::string_view kBlock = "Matching block [";
constexpr std::string_view kImage = "Matching image [";
constexpr std::string_view kRegistering = "Registering image #";
constexpr std::string_view kInitializing = "Initializing with image pair";
constexpr std::string_view kName = "Name:";
constexpr std::string_view kError = "ERROR:";

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

/// The numbers of a line, as they come: "[2/3, 1/3] in 1.8s" gives 2, 3, 1, 3, 1, 8.
std::vector<std::size_t> numbers(std::string_view text) {
  std::vector<std::size_t> out;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at < end) {
    std::size_t value = 0;
    const auto [next, failed] = std::from_chars(at, end, value);
    if (failed == std::errc()) out.push_back(value);
    at = failed == std::errc() ? next : at + 1;
  }
  return out;
}

/// "F20261120 21:41:12.123456 ..." or "F1120 21:41:12...": a fatal line of glog.
bool is_fatal_log_line(std::string_view line) {
  return line.size() > 5 && line.front() == 'F' &&
         std::all_of(line.begin() + 1, line.begin() + 5, [](unsigned char c) {
           return std::isdigit(c) != 0;
         });
}

}  // namespace

std::string_view name(Stage stage) {
  switch (stage) {
    case Stage::features:
      return "features";
    case Stage::matches:
      return "matches";
    case Stage::mapping:
      return "mapping";
    case Stage::filter:
      return "filter";
    case Stage::artifacts:
      return "export";
  }
  return "";
}

std::optional<Step> ColmapOutput::add(std::string_view line) {
  const std::string_view text = trimmed(line);
  if (stage_ == Stage::features) {
    if (text.starts_with(kProcessed)) {
      photo_.clear();
      const std::vector<std::size_t> found = numbers(text);
      if (found.size() >= 2) return Step{.done = found[0], .total = found[1]};
    }
    if (text.starts_with(kName)) photo_ = trimmed(text.substr(kName.size()));
    if (text.starts_with(kError) && !photo_.empty()) {
      refused_.push_back({photo_, std::string(trimmed(text.substr(kError.size())))});
      return std::nullopt;
    }
  }
  if (stage_ == Stage::matches) {
    const std::optional<Step> step = matching(text);
    if (step) return step;
  }
  if (stage_ == Stage::mapping) {
    if (text.starts_with(kInitializing)) return Step{.done = 2, .total = photos_};
    if (text.starts_with(kRegistering)) {
      const std::vector<std::size_t> found = numbers(text);
      if (found.size() >= 2) return Step{.done = std::min(found[1], photos_), .total = photos_};
    }
  }
  look_for_fault(text);
  return std::nullopt;
}

std::optional<Step> ColmapOutput::matching(std::string_view line) const {
  const std::size_t pairs = photos_ * (photos_ - 1) / 2;
  const std::vector<std::size_t> found = numbers(line);
  if (line.starts_with(kBlock) && found.size() >= 4 && found[1] > 0 && found[3] > 0) {
    const std::size_t blocks = found[1] * found[3];
    const std::size_t done = (found[0] - std::min<std::size_t>(found[0], 1)) * found[3] + found[2];
    return Step{.done = pairs * std::min(done, blocks) / blocks, .total = pairs};
  }
  if (line.starts_with(kImage) && found.size() >= 2)
    return Step{.done = found[0], .total = found[1]};
  return std::nullopt;
}

void ColmapOutput::look_for_fault(std::string_view line) {
  constexpr std::array<std::string_view, 2> kFull{"disk is full", "No space left on device"};
  for (const std::string_view sign : kFull) {
    if (line.find(sign) != std::string_view::npos) disk_full_ = true;
  }
  if (!fault_.empty()) return;
  if (line.find("failed to create sparse model") != std::string_view::npos) return;  // not a fault
  constexpr std::array<std::string_view, 6> kSigns{
      "Check failed", "terminate called", "what():", "ERROR:", "bad_alloc", "*** Aborted at"};
  const bool found = is_fatal_log_line(line) ||
                     std::any_of(kSigns.begin(), kSigns.end(), [&](std::string_view sign) {
                       return line.find(sign) != std::string_view::npos;
                     });
  if (found) fault_ = line;
}

}  // namespace pn::runners::sfm
