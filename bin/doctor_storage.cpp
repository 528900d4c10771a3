#include "base/awaitable.hpp"
#include "base/deadline.hpp"
#include "base/file.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "bin/client_session.hpp"
#include "bin/client_settings.hpp"
#include "bin/doctor.hpp"
#include "bin/doctor_report.hpp"
#include "bin/domain_data.hpp"
#include "bin/scratch_folder.hpp"
#include "http/client.hpp"

#include <filesystem>
#include <memory>
#include <string>
#include <utility>

namespace pn::bin::doctor {
namespace {

constexpr const char* kContent = "posenode doctor was here\n";

/// Puts, gets, compares, removes. Answers where it went.
Awaitable<Result<std::string>> round_trip(Patient& patient,
                                          const ClientSettings& settings,
                                          http::HttpClient& http,
                                          std::filesystem::path folder) {
  ClientSession session(http, patient.clock, patient.rng, settings);
  DomainData data(session, patient.clock, patient.rng, patient.pool);
  const std::filesystem::path sent = folder / "sent";
  const Result<void> written = write_file(sent, kContent, 0600);
  if (!written) co_return written.error();
  const std::string name = "posenode_doctor_" + make_uuid(patient.rng);
  Result<PutFile> put = co_await data.put(sent, name, "binary");
  if (!put) co_return within("put", std::move(put).error());
  const std::filesystem::path back = folder / "back";
  const Result<void> got = co_await data.get(put->item.id, back);
  const Result<void> removed = co_await data.remove(put->item.id);
  if (!got) co_return within("get", got.error());
  const Result<std::string> bytes = read_file(back, 4096);
  if (!bytes) co_return bytes.error();
  if (*bytes != kContent) {
    co_return Error(ErrorKind::corrupt, "storage_differs", "get: other bytes came back");
  }
  if (!removed) co_return within("delete", removed.error());
  const Result<DomainGrant> grant = co_await session.grant();
  co_return grant ? grant->domain_server.origin() : "the domain server";
}

Finding storage_finding(const std::string& tried, const Result<std::string>& trip) {
  if (trip) return fine("storage", tried, "put, get, compare, delete at " + *trip + " went well");
  const Error& error = trip.error();
  if (error.kind == ErrorKind::unauthorized) {
    return failure("storage",
                   Blame::sign_in,
                   tried,
                   error.detail,
                   {"check APP_KEY and APP_SECRET, and that the app may write to DOMAIN_ID"});
  }
  if (error.kind == ErrorKind::not_found || error.kind == ErrorKind::rejected) {
    return failure("storage",
                   Blame::configuration,
                   tried,
                   error.detail,
                   {"check DOMAIN_ID and API_BASE_URL; they belong to the client commands, a node "
                    "does not need them"});
  }
  return failure("storage",
                 Blame::temporary,
                 tried,
                 error.detail,
                 {"check the way from here to the domain server; tasks get their inputs from such "
                  "servers"});
}

}  // namespace

Awaitable<void> examine_storage(Patient& patient, bool dds) {
  if (!patient.client) {
    patient.report.add(
        skipped("storage", "no client identity (APP_KEY, APP_SECRET, DOMAIN_ID) is configured"));
    co_return;
  }
  if (!dds) {
    patient.report.add(skipped("storage", "DDS cannot be reached"));
    co_return;
  }
  const std::string tried = "a tiny item in domain " + patient.client->domain.str();
  const Result<ScratchFolder> folder = ScratchFolder::make();
  Result<std::unique_ptr<http::HttpClient>> http =
      http::make_http_client(patient.executor, patient.client->http);
  if (!folder || !http) {
    const Error& error = folder ? http.error() : folder.error();
    patient.report.add(failure("storage",
                               Blame::configuration,
                               tried,
                               error.detail,
                               {"make room for small files in TMPDIR, and check EXTRA_CA_FILE"}));
    co_return;
  }
  const std::filesystem::path& path = folder->path();
  Awaitable<Result<std::string>> trip = round_trip(patient, *patient.client, **http, path);
  const Result<std::string> result =
      co_await with_deadline(patient.clock, patient.step(), std::move(trip));
  patient.report.add(storage_finding(tried, result));
}

}  // namespace pn::bin::doctor
