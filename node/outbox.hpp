#pragma once

#include "base/awaitable.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"

#include <string>

namespace pn::node {

enum class Outcome { completed, failed };

/// What a node has to say about the end of a task; the body of protocol/dms.md, ready to be sent.
struct Receipt {
  TaskId task;
  Outcome outcome = Outcome::completed;
  std::string body;
  std::string trace_id{};
};

/// Takes over the delivery of an outcome. The seam for a sink that keeps it on disk first.
class ReceiptSink {
 public:
  virtual ~ReceiptSink() = default;
  /// Returns when the outcome needs no more care of the caller. Kind `rejected`, code
  /// "receipt_refused": the server will never take it. Kind `retry`: given up for now.
  virtual Awaitable<Result<void>> deliver(Receipt receipt) = 0;
};

}  // namespace pn::node
