# shellcheck shell=bash
# For the measurements, which print one figure a line: name<TAB>value<TAB>unit.
#
#   figure NAME VALUE UNIT
#   machine              the figures that say where and when the others were taken
#   need COMMAND...      ends the script if one is missing
#   WORK                 a directory, gone afterwards, and so is every process in PIDS
set -euo pipefail
export LC_ALL=C

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
WORK=$(mktemp -d /var/tmp/bms-bench.XXXXXX)
PIDS=()

figure() { printf '%s\t%s\t%s\n' "$1" "$2" "$3"; }
say() { echo "bench: $*" >&2; }

# machine NAME COMMAND: the load is that of before, with what else runs on the machine in it.
machine() {
  figure "$1.command" "$2" text
  figure "$1.date" "$(date -u +%Y-%m-%d)" text
  figure "$1.commit" "$(git -C "$TOP" describe --always --dirty 2>/dev/null || echo unknown)" text
  figure "$1.processor" "$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)" text
  figure "$1.processors" "$(nproc)" processors
  figure "$1.system" "$(. /etc/os-release && echo "$PRETTY_NAME"), Linux $(uname -r), $(uname -m)" text
  figure "$1.load_before" "$(cut -d' ' -f1 /proc/loadavg)" processes
}

need() {
  local command missing=()
  for command; do
    command -v "$command" >/dev/null || missing+=("$command")
  done
  ((${#missing[@]} == 0)) || { say "missing: ${missing[*]} (make bench-deps installs them)"; exit 1; }
}

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
