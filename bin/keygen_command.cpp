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

#include <cerrno>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

#include <nlohmann/json.hpp>
#include <unistd.h>

namespace pn::bin {

namespace fs = std::filesystem;

NewKey make_key(Rng& rng) {
  for (;;) {
    Secret<std::string> hex(random_hex(rng, 32));
    // Fails about once in 2^128: zero, or not below the curve's order.
    const Result<auth::Wallet> wallet = auth::Wallet::from_hex(hex);
    if (wallet) return {.hex = std::move(hex), .address = wallet->address().str()};
  }
}

namespace {

/// Never over another file; whole and on the disk, or not at all.
Result<void> write_key(const fs::path& out, const Secret<std::string>& hex) {
  const Result<UniqueFd> file = create_new(out, 0600);
  if (!file) {
    std::error_code ignored;
    if (!fs::exists(fs::symlink_status(out, ignored))) return file.error();
    return Error(ErrorKind::rejected,
                 "key_exists",
                 out.string() + " exists, and a key is never written over another file");
  }
  Result<void> written = write_all(file->get(), hex.reveal() + "\n");
  if (written && ::fsync(file->get()) != 0) written = from_errno(errno, "cannot fsync");
  if (!written) {
    ::unlink(out.c_str());
    return within(out.string(), std::move(written).error());
  }
  return sync_folder(out.parent_path());
}

}  // namespace

/// The bare key goes to standard output, so that `posenode keygen >key` makes a
/// SECP256K1_PRIVHEX_FILE; the address, which is no secret, to standard error.
int keygen_command(const Invocation& invocation, const std::filesystem::path& out) {
  SystemRng rng;
  const NewKey key = make_key(rng);
  if (!out.empty()) {
    const Result<void> written = write_key(out, key.hex);
    if (!written.ok()) return failed(written.error());
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
