#include "bin/doctor_report.hpp"

#include "base/json.hpp"
#include "bin/exit_codes.hpp"
#include "bin/terminal.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace pn::bin::doctor {
namespace {

constexpr std::array kChecks{
    Check{.name = "configuration", .what = "every setting, and where each secret comes from"},
    Check{.name = "state_dir", .what = "STATE_DIR can be written; whether a node holds it"},
    Check{.name = "work_dir", .what = "WORK_DIR can be written"},
    Check{.name = "disk",
          .what =
              "free space and inodes against the floors of the settings; what cached inputs have "
              "counts as free"},
    Check{.name = "status_addr", .what = "STATUS_ADDR is free, or held by this node"},
    Check{.name = "node", .what = "the running node's own reasons for not leasing"},
    Check{.name = "capabilities", .what = "what could be run here; the program of each is started"},
    Check{.name = "gpu", .what = "whether there is one"},
    Check{.name = "dds.dns", .what = "the name of DDS (or of the proxy) resolves"},
    Check{.name = "dds.tcp", .what = "its port takes a connection"},
    Check{.name = "dds.http", .what = "it answers over HTTP; the certificate and the proxy"},
    Check{.name = "dms.dns", .what = "the same of DMS"},
    Check{.name = "dms.tcp", .what = "the same of DMS"},
    Check{.name = "dms.http", .what = "the same of DMS, and that it is one"},
    Check{.name = "clock", .what = "this machine's clock against the services' Date"},
    Check{.name = "registration", .what = "the registration that the node sends at its start"},
    Check{.name = "sign_in", .what = "the wallet's signature becomes a token"},
    Check{.name = "dms.token", .what = "DMS takes that token: a heartbeat of a made-up task"},
    Check{.name = "storage", .what = "an item goes to the domain server and back"},
};

std::string_view word(Verdict verdict) {
  switch (verdict) {
    case Verdict::ok:
      return "ok";
    case Verdict::warn:
      return "warn";
    case Verdict::fail:
      return "FAIL";
    case Verdict::skipped:
      break;
  }
  return "skip";
}

std::string_view json_word(Verdict verdict) {
  switch (verdict) {
    case Verdict::ok:
      return "ok";
    case Verdict::warn:
      return "warn";
    case Verdict::fail:
      return "fail";
    case Verdict::skipped:
      break;
  }
  return "skipped";
}

Colour colour(Verdict verdict) {
  switch (verdict) {
    case Verdict::ok:
      return Colour::green;
    case Verdict::warn:
      return Colour::yellow;
    case Verdict::fail:
      return Colour::red;
    case Verdict::skipped:
      break;
  }
  return Colour::dim;
}

std::string padded(std::string_view text, std::size_t width) {
  std::string out(text);
  if (out.size() < width) out.resize(width, ' ');
  return out;
}

std::string plural(std::size_t count, const std::string& one) {
  return std::to_string(count) + " " + one + (count == 1 ? "" : "s");
}

}  // namespace

std::span<const Check> checks() { return kChecks; }

Finding fine(std::string_view check, std::string tried, std::string got) {
  Finding out;
  out.check = check;
  out.tried = std::move(tried);
  out.got = std::move(got);
  return out;
}

Finding doubt(std::string_view check, std::string tried, std::string got, std::string remedy) {
  Finding out = fine(check, std::move(tried), std::move(got));
  out.verdict = Verdict::warn;
  out.remedies.push_back(std::move(remedy));
  return out;
}

Finding failure(std::string_view check,
                Blame blame,
                std::string tried,
                std::string got,
                std::vector<std::string> remedies) {
  Finding out = fine(check, std::move(tried), std::move(got));
  out.verdict = Verdict::fail;
  out.blame = blame;
  out.remedies = std::move(remedies);
  return out;
}

Finding skipped(std::string_view check, std::string why) {
  Finding out = fine(check, "", std::move(why));
  out.verdict = Verdict::skipped;
  return out;
}

void Report::add(Finding finding) {
  if (redactor_ != nullptr) {
    redactor_->apply(finding.tried);
    redactor_->apply(finding.got);
    for (std::string& remedy : finding.remedies) redactor_->apply(remedy);
  }
  findings_.push_back(std::move(finding));
}

std::vector<Finding> Report::findings() const {
  std::vector<Finding> out;
  for (const Check& check : kChecks) {
    const auto at = std::find_if(findings_.begin(), findings_.end(), [&](const Finding& finding) {
      return finding.check == check.name;
    });
    out.push_back(at != findings_.end() ? *at : skipped(check.name, "the time was up before it"));
  }
  return out;
}

int Report::exit_code() const {
  const auto blamed = [this](Blame blame) {
    return std::any_of(findings_.begin(), findings_.end(), [&](const Finding& finding) {
      return finding.verdict == Verdict::fail && finding.blame == blame;
    });
  };
  if (blamed(Blame::configuration)) return kExitConfiguration;
  if (blamed(Blame::sign_in)) return kExitSignIn;
  return blamed(Blame::temporary) ? kExitTemporary : kExitOk;
}

std::string Report::text(const Terminal& terminal) const {
  std::size_t width = 0;
  for (const Check& check : kChecks) width = std::max(width, check.name.size());
  std::string out;
  std::size_t failed = 0;
  std::size_t doubted = 0;
  for (const Finding& finding : findings()) {
    failed += finding.verdict == Verdict::fail ? 1 : 0;
    doubted += finding.verdict == Verdict::warn ? 1 : 0;
    out += terminal.paint(colour(finding.verdict), padded(word(finding.verdict), 5));
    out += " " + padded(finding.check, width) + "  ";
    if (!finding.tried.empty()) out += printable(finding.tried) + ": ";
    out += printable(finding.got) + "\n";
    for (const std::string& remedy : finding.remedies) {
      out += std::string(8 + width, ' ') + terminal.paint(Colour::bold, "-> ") + printable(remedy) +
             "\n";
    }
    // Nothing was tried then: what follows would say so, line by line.
    if (finding.check == "configuration" && finding.verdict == Verdict::fail) break;
  }
  out += "\n";
  if (failed == 0) {
    out += "Nothing is wrong here";
    out += doubted == 0 ? "." : ", but for " + plural(doubted, "warning") + ".";
    out +=
        " A node that is idle all the same waits for a job that asks for its capabilities:"
        " `posenode status` shows what it does.\n";
  } else {
    out += plural(failed, "check") + " failed";
    if (doubted > 0) out += ", " + plural(doubted, "warning");
    out += ". Mend the first one first: later ones may follow from it.\n";
  }
  return out;
}

std::string Report::json() const {
  Json out;
  out["ok"] = exit_code() == kExitOk;
  out["exit_code"] = exit_code();
  out["checks"] = Json::array();
  for (const Finding& finding : findings()) {
    Json item;
    item["check"] = finding.check;
    item["verdict"] = json_word(finding.verdict);
    item["tried"] = finding.tried;
    item["got"] = finding.got;
    item["remedies"] = finding.remedies;
    out["checks"].push_back(std::move(item));
  }
  return dump_json(out);
}

}  // namespace pn::bin::doctor
