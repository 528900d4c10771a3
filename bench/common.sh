# Shared by the measuring scripts: starts and stops the real binaries in a folder of their own.
# shellcheck shell=bash
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
posenode=${POSENODE:-$top/build/release/bin/posenode}
curl_limit=${CURL_LIMIT:-$top/build/bench/bin/curl_limit}
work=$(mktemp -d)
pids=()

finish() {
  for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

need() { command -v "$1" >/dev/null || { echo "bench: $1 is missing: $2" >&2; exit 1; }; }
need jq "apt-get install jq"
[ -x "$posenode" ] || { echo "bench: $posenode is missing: cmake --preset release && cmake --build --preset release" >&2; exit 1; }

free_port() {
  local port
  for _ in $(seq 50); do
    port=$((20000 + RANDOM % 20000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
  echo "bench: no free port" >&2
  exit 1
}

# start_market: a market in $work/market; its settings for nodes and clients in $work/env
start_market() {
  port=$(free_port)
  "$posenode" market --listen "127.0.0.1:$port" --data "$work/market" --write-env "$work/env" >"$work/market.log" 2>&1 &
  market_pid=$!
  pids+=("$market_pid")
  for _ in $(seq 200); do
    curl -fsS "http://127.0.0.1:$port/health" >/dev/null 2>&1 && [ -s "$work/env" ] && break
    sleep 0.05
  done
  [ -s "$work/env" ] || { echo "bench: the market did not start:" >&2; cat "$work/market.log" >&2; exit 1; }
  set -a
  # shellcheck disable=SC1091
  . "$work/env"
  set +a
}

# start_node NAME [SETTING=VALUE...]: a node with a key and a state folder of its own; its pid in $node_pid
start_node() {
  local name=$1
  shift
  env "SECP256K1_PRIVHEX=$("$posenode" keygen --json | jq -r .SECP256K1_PRIVHEX)" \
    "STATE_DIR=$work/$name" "STATUS_ADDR=127.0.0.1:$(free_port)" LOG_FORMAT=text \
    ENABLE_NOOP=true NOOP_SLEEP_SECS=0 POLL_BACKOFF_MS_MIN=50 POLL_BACKOFF_MS_MAX=100 \
    DISK_MIN_FREE_MB=0 DISK_MAX_USED_PCT=100 INODE_MAX_USED_PCT=100 "$@" \
    "$posenode" run >"$work/$name.log" 2>&1 &
  node_pid=$!
  pids+=("$node_pid")
}

stop() { kill -TERM "$1" 2>/dev/null || true; wait "$1" 2>/dev/null || true; }

# submit COUNT [ARGS...]: a noop job; prints its id
submit() {
  local count=$1
  shift
  "$posenode" job submit --capability /noop/v1 --count "$count" --label bench --json "$@" | jq -r .job_id
}

# wait_job ID [SECONDS]
wait_job() {
  local status
  for _ in $(seq $((${2:-600} * 10))); do
    status=$("$posenode" job show "$1" --json | jq -r .job.status)
    case $status in
      completed) return ;;
      failed | canceled) echo "bench: job $1 $status" >&2; tail -3 "$work"/*.log >&2; exit 1 ;;
    esac
    sleep 0.1
  done
  echo "bench: job $1 did not end in time" >&2
  exit 1
}

# task_rate ID: tasks per second between the first receipt and the last, as the market recorded them
task_rate() {
  "$posenode" job show "$1" --json | jq '
    def seconds: (.[0:19] + "Z" | fromdate) + ("0" + (.[19:] | rtrimstr("Z")) | tonumber);
    [.receipts[].created_at | seconds] | sort | ((length - 1) / ((.[-1] - .[0]) | if . == 0 then 0.001 else . end))'
}

# status_kib PID FIELD: a line of /proc/PID/status in KiB
status_kib() { awk -v f="$2:" '$1 == f { print $2 }' "/proc/$1/status"; }
# cpu_ms PID: user and system time so far
cpu_ms() { awk -v hz="$(getconf CLK_TCK)" '{ print ($14 + $15) * 1000 / hz }' "/proc/$1/stat"; }
