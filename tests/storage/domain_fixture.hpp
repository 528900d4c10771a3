#pragma once

#include "storage/cid.hpp"
#include "storage/domain_client.hpp"
#include "storage/ports.hpp"
#include "tests/storage/domain_world.hpp"
#include "tests/storage/fake_domain_server.hpp"
#include "tests/support/temp_folder.hpp"
#include "tests/support/test_loop.hpp"

#include <string>
#include <utility>

namespace pn::testing {

/// A domain server, a client of it, and a folder for what comes.
struct DomainFixture {
  explicit DomainFixture(storage::DomainClientOptions options = DomainWorld::quick())
      : world(loop, server.url(), {"t1"}, std::move(options)) {}

  TestLoop loop;
  FakeDomainServer server{loop};
  DomainWorld world;
  TempFolder folder;
};

inline storage::DataQuery by_id(std::string id) {
  storage::DataQuery query;
  query.ids.emplace_back(std::move(id));
  return query;
}

/// Whether the file is the item as the server has it now.
inline bool is_right(const FakeDomainServer& server, const storage::InputFile& file) {
  const std::string& bytes = server.items.at(file.id.str()).bytes;
  return TempFolder::read(file.path) == bytes && file.size == bytes.size();
}

}  // namespace pn::testing
