#include "market/task_events.hpp"

#include "base/json.hpp"

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace pn::market {
namespace {

constexpr std::size_t kEventsLimit = 64 * 1024;

/// Events gathered from the newest backwards, until no more may be kept.
class Newest {
 public:
  /// False when it and all that are older are left out.
  bool add(std::string event) {
    size_ += event.size() + 1;  // and its comma, or a bracket
    if (events_.size() == kEventsKept || size_ + 1 > kEventsLimit) return false;
    events_.push_back(std::move(event));
    return true;
  }

  [[nodiscard]] std::string json() const {
    std::string out = "[";
    for (auto event = events_.rbegin(); event != events_.rend(); ++event) {
      if (out.size() > 1) out += ',';
      out += *event;
    }
    return out + "]";
  }

 private:
  std::vector<std::string> events_;
  std::size_t size_ = 0;
};

}  // namespace

std::string keep_events(const std::string& old, const std::vector<std::string>& newer) {
  Newest newest;
  const bool room = std::all_of(
      newer.rbegin(), newer.rend(), [&](const std::string& event) { return newest.add(event); });
  const Json before = Json::parse(old, nullptr, false);
  if (!room || !before.is_array()) return newest.json();
  std::size_t left = before.size();
  while (left > 0 && newest.add(dump_json(before[left - 1]))) --left;
  return newest.json();
}

}  // namespace pn::market
