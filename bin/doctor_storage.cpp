#include "base/awaitable.hpp"
#include "base/deadline.hpp"
#include "base/file.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "base/time.hpp"
#include "bin/client_session.hpp"
#include "bin/doctor.hpp"
#include "bin/doctor_report.hpp"
#include "bin/domain_data.hpp"
#include "bin/scratch_folder.hpp"
#include "http/client.hpp"

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pn::bin::doctor {
namespace {

constexpr const char* kContent = "posenode doctor was here\n";
/// Of every doctor's items, and of nobody else's.
constexpr const char* kType = "posenode_doctor";
constexpr std::string_view kNames = "posenode_doctor_";
/// With kLongest of the examination it stays within the 20 s.
constexpr std::chrono::milliseconds kCleanUp{1500};
/// No doctor still works with an item that is this old.
constexpr std::chrono::hours kLeftOver{1};

struct Trip {
  Trip(Patient& patient, http::HttpClient& http)
      : session(http, patient.clock, patient.rng, *patient.client),
        data(session, patient.clock, patient.rng, patient.pool),
        name(std::string(kNames) + make_uuid(patient.rng)) {}

  ClientSession session;
  DomainData data;
  const std::string name;
  bool put = false;  ///< there may be an item of this name
};

/// Puts, gets, compares, removes. Answers where it went.
Awaitable<Result<std::string>> round_trip(Trip& trip, std::filesystem::path folder) {
  const std::filesystem::path sent = folder / "sent";
  const Result<void> written = write_file(sent, kContent, 0600);
  if (!written) co_return written.error();
  trip.put = true;
  Result<PutFile> put = co_await trip.data.put(sent, trip.name, kType);
  if (!put) co_return within("put", std::move(put).error());
  const std::filesystem::path back = folder / "back";
  const Result<void> got = co_await trip.data.get(put->item.id, back);
  if (!got) co_return within("get", got.error());
  const Result<std::string> bytes = read_file(back, 4096);
  if (!bytes) co_return bytes.error();
  if (*bytes != kContent) {
    co_return Error(ErrorKind::corrupt, "storage_differs", "get: other bytes came back");
  }
  const Result<void> removed = co_await trip.data.remove(put->item.id);
  if (!removed) co_return within("delete", removed.error());
  trip.put = false;
  const Result<DomainGrant> grant = co_await trip.session.grant();
  co_return grant ? grant->domain_server.origin() : "the domain server";
}

/// Removes what the trip left, and what doctors left that could not clean up any more.
Awaitable<Result<void>> clean_up(Trip& trip, SystemTime now) {
  DataFilter filter;
  filter.data_type = kType;
  const Result<std::vector<DataItem>> items = co_await trip.data.list(std::move(filter));
  if (!items) co_return items.error();
  for (const DataItem& item : *items) {
    // A server need not know the filter.
    if (item.data_type != kType || !item.name.starts_with(kNames)) continue;
    const Result<SystemTime> made = parse_rfc3339(item.created_at);
    if (item.name != trip.name && (!made || *made > now - kLeftOver)) continue;
    const Result<void> removed = co_await trip.data.remove(item.id);
    if (!removed) co_return removed.error();
  }
  co_return Result<void>();
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
  Trip trip(patient, **http);
  Awaitable<Result<std::string>> going = round_trip(trip, path);
  const Result<std::string> result =
      co_await with_deadline(patient.clock, patient.step(), std::move(going));
  Finding finding = storage_finding(tried, result);
  if (result || trip.put) {
    Awaitable<Result<void>> cleaning = clean_up(trip, patient.clock.system_now());
    const Deadline limit = Deadline::in(patient.clock, kCleanUp);
    const Result<void> cleaned =
        co_await with_deadline<void>(patient.clock, limit, std::move(cleaning));
    if (!cleaned && trip.put) {
      finding.got += "; the item " + trip.name + " may be left there";
      finding.remedies.emplace_back(
          "run doctor again in an hour, which removes what it finds of itself (or posenode data "
          "rm)");
    }
  }
  patient.report.add(std::move(finding));
}

}  // namespace pn::bin::doctor
