#include "base/awaitable.hpp"
#include "base/file.hpp"
#include "base/json.hpp"
#include "base/result.hpp"
#include "bin/client_run.hpp"
#include "bin/commands.hpp"
#include "bin/domain_data.hpp"
#include "bin/exit_codes.hpp"
#include "bin/scratch_folder.hpp"
#include "bin/terminal.hpp"
#include "storage/cid.hpp"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>
#include <unistd.h>

namespace pn::bin {
namespace {

namespace fs = std::filesystem;

Json json_of(const DataItem& item) {
  Json out;
  out["id"] = item.id.str();
  out["name"] = item.name;
  out["data_type"] = item.data_type;
  out["size"] = item.size;
  out["updated_at"] = item.updated_at;
  return out;
}

/// The item whose id or name the user gave; kind `not_found`, or `rejected` when a name is not
/// enough to tell two apart.
Awaitable<Result<DataItem>> find(Client& client, std::string text, std::string type) {
  if (storage::is_uuid(text)) {
    DataId id(text);
    Result<DataItem> item = co_await client.data.describe(std::move(id));
    // A name may look like anything.
    if (item || item.error().kind != ErrorKind::not_found) co_return item;
  }
  DataFilter by_name;
  by_name.name = text;
  by_name.data_type = std::move(type);
  Result<std::vector<DataItem>> named = co_await client.data.list(std::move(by_name));
  if (!named) co_return std::move(named).error();
  if (named->size() == 1) co_return named->front();
  if (named->size() > 1) {
    co_return Error(ErrorKind::rejected,
                    "ambiguous",
                    text + ": " + std::to_string(named->size()) +
                        " items have that name. Add --type, or give the id");
  }
  co_return Error(
      ErrorKind::not_found,
      "no_such_item",
      text + ": the domain has no item of that id or name. posenode data ls lists them");
}

Awaitable<int> put(Client& client, const Invocation& invocation, const DataPutOptions& options) {
  Json answer = Json::array();
  for (const std::string& file : options.files) {
    const Result<PutFile> sent = co_await client.data.put(file, options.name, options.type);
    if (!sent) co_return failed(within(file, sent.error()));
    if (invocation.json) {
      Json item = json_of(sent->item);
      item["reused"] = sent->reused;
      answer.push_back(std::move(item));
    } else {
      print(sent->item.id.str() + "  " + printable(sent->item.name) + "  " +
            printable(sent->item.data_type) + (sent->reused ? "  (there already)" : "") + "\n");
    }
  }
  if (invocation.json) print(dump_json(answer) + "\n");
  co_return kExitOk;
}

/// A whole and checked copy first, then standard output: a pipe cannot take bytes back.
Awaitable<int> get_to_pipe(Client& client, DataId id) {
  const Result<ScratchFolder> folder = ScratchFolder::make();
  if (!folder) {
    complain(folder.error().detail + "; set TMPDIR to one that can be written");
    co_return exit_code(folder.error());
  }
  const fs::path file = folder->path() / "item";
  const Result<void> got = co_await client.data.get(std::move(id), file);
  if (!got.ok()) co_return failed(got.error());
  const Result<UniqueFd> opened = open_read(file);
  if (!opened) co_return failed(opened.error());
  std::vector<char> buffer(64 * 1024);
  for (;;) {
    const Result<std::size_t> bytes = read_some(opened->get(), buffer);
    if (!bytes) co_return failed(bytes.error());
    if (*bytes == 0) co_return kExitOk;
    const Result<void> written = write_all(STDOUT_FILENO, std::string_view(buffer.data(), *bytes));
    if (!written.ok()) co_return failed(written.error());
  }
}

/// The name as one path segment of ours.
std::string file_name(const DataItem& item) {
  std::string out = item.name;
  std::replace(out.begin(), out.end(), '/', '_');
  if (out.empty() || out.front() == '.') out.insert(out.begin(), '_');
  return printable(out);
}

Awaitable<int> get(Client& client, const Invocation& invocation, const DataGetOptions& options) {
  const Result<DataItem> item = co_await find(client, options.item, options.type);
  if (!item) co_return failed(item.error());
  if (options.out == "-") {
    const int code = co_await get_to_pipe(client, item->id);
    co_return code;
  }
  fs::path to = options.out.empty() ? fs::path(file_name(*item)) : options.out;
  std::error_code ignored;
  if (fs::is_directory(to, ignored)) to /= file_name(*item);
  const Result<void> got = co_await client.data.get(item->id, to);
  if (!got.ok()) co_return failed(got.error());
  if (invocation.json) {
    Json answer = json_of(*item);
    answer["file"] = to.string();
    print(dump_json(answer) + "\n");
  } else {
    print(printable(to.string()) + "  " + format_bytes(item->size) + "\n");
  }
  co_return kExitOk;
}

Awaitable<int> ls(Client& client, const Invocation& invocation, const DataListOptions& options) {
  DataFilter filter;
  filter.name = options.name;
  filter.data_type = options.type;
  Result<std::vector<DataItem>> items = co_await client.data.list(filter);
  if (!items) co_return failed(items.error());
  if (invocation.json) {
    Json answer;
    answer["data"] = Json::array();
    for (const DataItem& item : *items) answer["data"].push_back(json_of(item));
    print(dump_json(answer) + "\n");
    co_return kExitOk;
  }
  Table table({"ID", "SIZE", "TYPE", "NAME"});
  for (const DataItem& item : *items) {
    table.add({item.id.str(), format_bytes(item.size), item.data_type, item.name});
  }
  print(table.empty() ? "no data\n" : table.text(invocation.out));
  co_return kExitOk;
}

Awaitable<int> rm(Client& client,
                  const Invocation& invocation,
                  const std::vector<std::string>& names) {
  Json answer = Json::array();
  for (const std::string& name : names) {
    std::string any_type;
    const Result<DataItem> item = co_await find(client, name, std::move(any_type));
    if (!item) co_return failed(item.error());
    const Result<void> removed = co_await client.data.remove(item->id);
    if (!removed.ok()) co_return failed(within(name, removed.error()));
    if (invocation.json) {
      answer.push_back(item->id.str());
    } else {
      print("removed " + item->id.str() + "  " + printable(item->name) + "\n");
    }
  }
  if (invocation.json) print(dump_json(answer) + "\n");
  co_return kExitOk;
}

}  // namespace

int data_put_command(Invocation invocation, DataPutOptions options) {
  if (!options.name.empty() && options.files.size() > 1) {
    complain("--name: one name cannot stand for " + std::to_string(options.files.size()) +
             " files");
    return kExitConfiguration;
  }
  const auto command = [&](Client& client) { return put(client, invocation, options); };
  return run_client(invocation, command);
}

int data_get_command(Invocation invocation, DataGetOptions options) {
  const auto command = [&](Client& client) { return get(client, invocation, options); };
  return run_client(invocation, command);
}

int data_ls_command(Invocation invocation, DataListOptions options) {
  const auto command = [&](Client& client) { return ls(client, invocation, options); };
  return run_client(invocation, command);
}

int data_rm_command(Invocation invocation, std::vector<std::string> items) {
  const auto command = [&](Client& client) { return rm(client, invocation, items); };
  return run_client(invocation, command);
}

}  // namespace pn::bin
