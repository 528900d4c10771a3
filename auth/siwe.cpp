#include "auth/siwe.hpp"

#include "auth/wallet.hpp"
#include "base/result.hpp"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace pn::auth {
namespace {

constexpr std::string_view kGreeting = " wants you to sign in with your Ethereum account:";

Error malformed(std::string_view what) {
  return {ErrorKind::rejected,
          "siwe_malformed",
          "the sign-in message " + std::string(what) + " (EIP-4361)"};
}

/// The lines of a message, one after the other.
class Lines {
 public:
  explicit Lines(std::string_view text) : rest_(text) {}

  std::optional<std::string_view> next() {
    if (at_end_) return std::nullopt;
    const std::size_t end = rest_.find('\n');
    const std::string_view line = rest_.substr(0, end);
    if (end == std::string_view::npos) {
      at_end_ = true;
    } else {
      rest_.remove_prefix(end + 1);
    }
    return line;
  }

  /// What follows `prefix` on the next line; nothing when it is another line, or nothing follows.
  std::optional<std::string_view> next_value(std::string_view prefix) {
    const auto line = next();
    if (!line || !line->starts_with(prefix) || line->size() == prefix.size()) return std::nullopt;
    return line->substr(prefix.size());
  }

 private:
  std::string_view rest_;
  bool at_end_ = false;
};

}  // namespace

std::string siwe_message(const SiweChallenge& challenge,
                         const EthAddress& address,
                         const std::vector<std::string>& resources) {
  std::string out = challenge.domain;
  out += kGreeting;
  out += "\n" + address.str() + "\n";
  out += "\nURI: " + challenge.uri;
  out += "\nVersion: " + challenge.version;
  out += "\nChain ID: " + std::to_string(challenge.chain_id);
  out += "\nNonce: " + challenge.nonce;
  out += "\nIssued At: " + challenge.issued_at;
  if (!resources.empty()) out += "\nResources:";
  for (const std::string& resource : resources) out += "\n- " + resource;
  return out;
}

Result<ParsedSiwe> parse_siwe_message(std::string_view message) {
  if (std::any_of(message.begin(), message.end(), [](char c) { return c == '\r' || c == '\0'; })) {
    return malformed("holds a CR or a NUL");
  }
  Lines lines(message);
  ParsedSiwe out;

  const std::string_view greeting = lines.next().value_or("");
  if (!greeting.ends_with(kGreeting) || greeting.size() == kGreeting.size()) {
    return malformed("does not begin with a domain that wants you to sign in");
  }
  out.challenge.domain = greeting.substr(0, greeting.size() - kGreeting.size());

  const Result<EthAddress> address = parse_eth_address(lines.next().value_or(""));
  if (!address) return malformed("has no address on its second line");
  out.address = *address;
  if (lines.next() != std::string_view()) return malformed("has no empty line after the address");

  const auto uri = lines.next_value("URI: ");
  const auto version = lines.next_value("Version: ");
  const auto chain = lines.next_value("Chain ID: ");
  const auto nonce = lines.next_value("Nonce: ");
  const auto issued = lines.next_value("Issued At: ");
  if (!uri || !version || !chain || !nonce || !issued) {
    return malformed("lacks URI, Version, Chain ID, Nonce or Issued At, in this order");
  }
  const auto [end, fault] =
      std::from_chars(chain->data(), chain->data() + chain->size(), out.challenge.chain_id);
  if (fault != std::errc() || end != chain->data() + chain->size()) {
    return malformed("has a chain id that is no number");
  }
  out.challenge.uri = *uri;
  out.challenge.version = *version;
  out.challenge.nonce = *nonce;
  out.challenge.issued_at = *issued;

  if (const auto resources = lines.next()) {
    if (*resources != "Resources:") return malformed("has an unknown line after Issued At");
    while (const auto line = lines.next()) {
      if (!line->starts_with("- ")) return malformed("has a resource that is not \"- urn\"");
    }
  }
  return out;
}

}  // namespace pn::auth
