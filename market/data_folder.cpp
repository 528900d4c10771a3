#include "market/data_folder.hpp"

#include "auth/jwt.hpp"
#include "base/file.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"

#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>

namespace pn::market {

Result<DataFolder> DataFolder::open(const std::filesystem::path& path) {
  Result<void> made = make_folders(path, 0700);
  if (!made.ok()) return within("making the data folder", std::move(made).error());
  const std::filesystem::path lock = path / "lock";
  UniqueFd fd(::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd) return from_errno(errno, "opening " + lock.string());
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return from_errno(errno, "locking " + lock.string());
    return Error(ErrorKind::rejected,
                 "data_in_use",
                 "another market runs on the data folder " + path.string() +
                     "; stop it, or choose another folder");
  }
  return DataFolder(path, std::move(fd));
}

Result<auth::SigningKey> DataFolder::signing_key() const {
  constexpr std::uint64_t kPemLimit = 64 * 1024;
  const std::filesystem::path file = path_ / "signing-key.pem";
  Result<std::string> pem = read_file(file, kPemLimit);
  if (pem.ok()) {
    Result<auth::SigningKey> key = auth::SigningKey::from_pem(Secret<std::string>(*std::move(pem)));
    if (!key.ok()) return within("reading " + file.string(), std::move(key).error());
    return key;
  }
  if (pem.error().kind != ErrorKind::not_found) return std::move(pem).error();
  auth::SigningKey key = auth::SigningKey::generate();
  Result<void> written = write_file(file, key.private_pem().reveal(), 0600);
  if (!written.ok()) return within("writing " + file.string(), std::move(written).error());
  return key;
}

}  // namespace pn::market
