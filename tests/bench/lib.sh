# shellcheck shell=bash
# For the measurements that need no gateway.
#
#   WORK   a directory, gone afterwards, and so is every process in PIDS
set -euo pipefail
export LC_ALL=C

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
WORK=$(mktemp -d /var/tmp/bms-bench.XXXXXX)
PIDS=()
# shellcheck source=tests/bench/figures.sh
. "$TOP/tests/bench/figures.sh"

cleanup() {
  local status=$? pid
  trap - EXIT INT TERM
  for pid in "${PIDS[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait
  rm -rf "$WORK"
  exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
