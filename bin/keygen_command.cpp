#include "auth/wallet.hpp"
#include "base/file.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "base/secret.hpp"
#include "base/system_rng.hpp"
#include "bin/commands.hpp"
#include "bin/exit_codes.hpp"
#include "bin/new_key.hpp"
#include "bin/terminal.hpp"

#include <filesystem>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

namespace pn::bin {

NewKey make_key(Rng& rng) {
  for (;;) {
    Secret<std::string> hex(random_hex(rng, 32));
    // Fails about once in 2^128: zero, or not below the curve's order.
    const Result<auth::Wallet> wallet = auth::Wallet::from_hex(hex);
    if (wallet) return {.hex = std::move(hex), .address = wallet->address().str()};
  }
}

/// The bare key goes to standard output, so that `posenode keygen >key` makes a
/// SECP256K1_PRIVHEX_FILE; the address, which is no secret, to standard error.
int keygen_command(const Invocation& invocation, const std::filesystem::path& out) {
  SystemRng rng;
  const NewKey key = make_key(rng);
  if (!out.empty()) {
    const Result<UniqueFd> file = create_new(out, 0600);
    Result<void> written =
        file ? write_all(file->get(), key.hex.reveal() + "\n") : Result<void>(file.error());
    if (!written.ok()) {
      complain(written.error().detail + ". A key is never written over another file");
      return kExitConfiguration;
    }
  }
  if (invocation.json) {
    Json answer;
    answer["address"] = key.address;
    if (out.empty()) {
      answer["SECP256K1_PRIVHEX"] = key.hex.reveal();
    } else {
      answer["file"] = out.string();
    }
    print(dump_json(answer) + "\n");
  } else if (out.empty()) {
    print(key.hex.reveal() + "\n");
    complain("this is SECP256K1_PRIVHEX of address " + key.address + ". Keep it secret");
  } else {
    print(out.string() + " holds SECP256K1_PRIVHEX of address " + key.address + "\n");
  }
  return kExitOk;
}

}  // namespace pn::bin
