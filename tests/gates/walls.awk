# The rules of check_walls, line by line over the sources. Comments and string literals are blanked first, so that only
# code counts.

BEGIN {
  # Edge => reason. What is not here is forbidden, and why_not says why.
  may["http", "base"] = "its vocabulary"
  may["auth", "base"] = "its vocabulary"
  may["auth", "http"] = "DDS is asked over HTTP"
  may["storage", "base"] = "its vocabulary"
  may["storage", "http"] = "the domain server is asked over HTTP"
  may["storage", "auth"] = "tokens"
  may["runners", "base"] = "its vocabulary"
  may["runners", "http"] = "runners that call a service"
  may["runners", "auth"] = "tokens for such a service"
  may["runners", "storage"] = "inputs and artifacts are its ports"
  may["node", "base"] = "its vocabulary"
  may["node", "http"] = "DMS is asked over HTTP"
  may["node", "auth"] = "registration and access tokens"
  may["node", "storage"] = "builds the ports of a task"
  may["node", "runners"] = "runs them"
  may["market", "base"] = "its vocabulary"
  may["market", "http"] = "it is a server"
  may["market", "auth"] = "signatures and JWT"
  n = split("base http auth storage runners node market bin", parts, " ")
  for (i = 1; i <= n; i++) { known[parts[i]] = 1; may["bin", parts[i]] = "builds everything"; may[parts[i], parts[i]] = "itself" }

  why_not["base"] = "base knows nothing of what stands on it"
  why_not["http"] = "http carries requests and does not know whose"
  why_not["auth"] = "auth is used by storage, the node and the market, and knows none of them"
  why_not["storage"] = "storage gives files to runners and does not know who runs them"
  why_not["runners"] = "a runner sees its TaskContext and nothing of the node or the market"
  why_not["node"] = "the node knows the market by the wire only, and nothing builds on bin"
  why_not["market"] = "the market knows the wire, not the node: it may use base, http and auth"
}

# A header that only its own part sees may bring Asio and Beast in: a server has to hold its socket.
FNR == 1 { split(FILENAME, path, "/"); part = path[1]; header = FILENAME ~ /\.hpp$/; in_comment = 0 }

{
  line = $0
  if (line ~ /^[ \t]*#[ \t]*include[ \t]/ && !in_comment) { include(line); next }
  code = strip(line)
}

# Children belong to a Nursery: what is spawned elsewhere nobody joins (CONTRIBUTING.md).
code ~ /(^|[^A-Za-z0-9_])co_spawn([^A-Za-z0-9_]|$)|asio::detached/ && !(FILENAME ~ /^base\/(nursery|offload|deadline)\.cpp$/ || part == "bin") {
  fault("spawns a coroutine that nobody joins; use a Nursery (base/nursery.hpp)")
}

# Seams: whatever reads the world is handed in, so that a test can hand in another.
code ~ /(^|[^A-Za-z0-9_])(secure_)?getenv([^A-Za-z0-9_]|$)|(^|[^A-Za-z0-9_])environ([^A-Za-z0-9_]|$)/ && part != "bin" {
  fault("reads the environment; bin reads it and passes values")
}
code ~ /(system_clock|steady_clock|high_resolution_clock)::now/ && !reads_the_world() {
  fault("asks the time itself; take a Clock& (base/clock.hpp)")
}
code ~ /random_device/ && !reads_the_world() {
  fault("takes randomness itself; take an Rng& (base/rng.hpp)")
}

END {
  do {  # what a header seen from outside includes is seen from outside too
    grown = 0
    for (edge in includes) {
      split(edge, ends, SUBSEP)
      if (seen_outside[ends[1]] && !seen_outside[ends[2]]) { seen_outside[ends[2]] = 1; grown = 1 }
    }
  } while (grown)
  for (i = 1; i <= heavy; i++) if (seen_outside[heavy_file[i]]) { print heavy_fault[i]; faults++ }
  exit faults > 0
}

# curl_loop: curl counts its time-outs in real time, whatever clock we hold.
function reads_the_world() { return FILENAME ~ /^(base\/(system_[a-z_]*\.[ch]pp|log\.cpp)|http\/curl_loop\.cpp)$/ || part == "bin" }

function fault(text) { print FILENAME ":" FNR ": " text; faults++ }

function include(text,    name, dirs, to) {
  if (match(text, /"[^"]*"/)) {
    name = substr(text, RSTART + 1, RLENGTH - 2)
    split(name, dirs, "/")
    to = dirs[1]
    if (!(to in known) || index(name, "/") == 0)
      fault("includes \"" name "\": a header of ours is named from the top, \"part/header.hpp\", and belongs to a part")
    else if (!((part, to) in may))
      fault(part " may not include " to ": " why_not[part])
    if (to != part) seen_outside[name] = 1
    includes[FILENAME, name] = 1
  } else if (header && match(text, /<[^>]*>/)) {
    name = substr(text, RSTART + 1, RLENGTH - 2)
    if (name ~ /^(curl\/|soci|archive\.h|archive_entry\.h|secp256k1)/ || name == "nlohmann/json.hpp")
      fault("header includes <" name ">, which belongs into a .cpp: everybody who includes the header would compile it")
    else if (name ~ /^boost\/(asio|beast)/ && name !~ /^boost\/asio\/(awaitable|any_io_executor)\.hpp$/) {
      heavy_file[++heavy] = FILENAME
      heavy_fault[heavy] = FILENAME ":" FNR ": header that another part sees includes <" name ">; of Asio it may have awaitable.hpp and any_io_executor.hpp"
    }
  }
}

# The line without comments and without what stands between quotes. Raw strings over several lines are not understood;
# none of the words above has a place in one.
function strip(text,    out, i, c, two, quote) {
  out = ""
  for (i = 1; i <= length(text); i++) {
    c = substr(text, i, 1); two = substr(text, i, 2)
    if (in_comment) { if (two == "*/") { in_comment = 0; i++ } continue }
    if (quote != "") { if (c == "\\") i++; else if (c == quote) quote = ""; continue }
    if (two == "//") break
    if (two == "/*") { in_comment = 1; i++; continue }
    if (c == "\"" || (c == "'" && out !~ /[0-9a-fA-F]$/)) { quote = c; continue }
    out = out c
  }
  return out
}
