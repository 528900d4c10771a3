#pragma once

#include "runners/sfm/colmap_model.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace pn::runners::sfm {

/// Wall time, over all attempts.
struct StageSeconds {
  double features = 0;
  double matches = 0;
  double mapping = 0;
  double filter = 0;
  double artifacts = 0;  ///< "export" in the JSON
  double colmap = 0;     ///< in child processes
  double total = 0;      ///< from the start of run() to the report
};

/// report.json, less what the model itself tells.
struct Report {
  std::size_t photos = 0;
  std::string profile;
  int attempts = 0;
  bool intrinsics_refined = true;
  StageSeconds seconds;
  std::vector<std::string> not_registered;
  std::vector<std::string> warnings;
};

/// `model` null: no reconstruction was found.
std::string to_report_json(const Report& report, const Model* model);

}  // namespace pn::runners::sfm
