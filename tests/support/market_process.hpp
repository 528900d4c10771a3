#pragma once

#include "tests/support/child.hpp"
#include "tests/support/temp_folder.hpp"

#include <chrono>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>

namespace pn::testing {

/// `posenode market` as a process, on a port of its own; what it keeps is below `folder`.
struct MarketProcess {
  MarketProcess(const std::string& binary,
                const TempFolder& folder,
                std::map<std::string, std::string> settings = {})
      : env(folder.file("market.env")),
        child({binary,
               "market",
               "--listen",
               "127.0.0.1:0",
               "--data",
               folder.file("market"),
               "--write-env",
               env},
              with_path(std::move(settings))) {
    if (!child.wait_for("(for --env-file)\n", std::chrono::seconds(20))) {
      throw std::runtime_error("the market did not start: " + child.seen().err);
    }
  }

  const std::string env;  ///< the --env-file of its nodes and clients
  Child child;

 private:
  static std::map<std::string, std::string> with_path(std::map<std::string, std::string> settings) {
    settings.try_emplace("PATH", "/usr/bin:/bin");
    return settings;
  }
};

}  // namespace pn::testing
