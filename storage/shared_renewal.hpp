#pragma once

#include "base/awaitable.hpp"
#include "base/event.hpp"
#include "base/secret.hpp"
#include "storage/token_source.hpp"

#include <list>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace pn::storage {

/// A TokenSource whose renewal is one for all that ask while it goes on: parts that go out in
/// parallel are all refused at once.
class SharedRenewal final : public TokenSource {
 public:
  explicit SharedRenewal(std::unique_ptr<TokenSource> tokens) : tokens_(std::move(tokens)) {}

  [[nodiscard]] Secret<std::string> current() override { return tokens_->current(); }
  /// When the one who renews is cancelled, another that waits goes on in its place.
  Awaitable<bool> wait_newer(const Secret<std::string>& used) override;

 private:
  class Turn;

  const std::unique_ptr<TokenSource> tokens_;
  bool renewing_ = false;
  std::optional<bool> outcome_;  ///< of the last renewal; nothing when it was cancelled
  std::list<Event*> waiting_;
};

}  // namespace pn::storage
