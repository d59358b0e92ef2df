# shellcheck shell=bash
# For tests/integration/NNN-*.sh, sourced with the script's arguments: BIN is the directory of the
# programs, TMP a directory that is gone afterwards, and so is every process that start() began.
#
#   check NAME COMMAND...       ok if it succeeds
#   check_fails NAME COMMAND... ok if it fails
#   ok NAME, fail NAME [WHY]
#   start NAME COMMAND...       in the background, output in $TMP/NAME.log, pid in $pid_NAME
#   stop NAME [SIGNAL]          ends it; its exit status is the result
#   alive NAME                  it still runs
#   wait_for SECONDS COMMAND... until it succeeds, looked at ten times a second
set -u
# shellcheck disable=SC2034 # the tests use it
BIN=$(realpath "${1:?usage: $0 DIRECTORY-OF-PROGRAMS}")
TMP=$(mktemp -d)
passed=0 failed=0
started=()

ok() {
  echo "ok      $1"
  passed=$((passed + 1))
}

fail() {
  echo "NOT OK  $1${2:+: $2}"
  failed=$((failed + 1))
}

check() {
  local name=$1
  shift
  if "$@" >"$TMP/check.log" 2>&1; then
    ok "$name"
  else
    fail "$name" "exit $? of $*"
    sed 's/^/    /' "$TMP/check.log" | tail -n 20
  fi
}

check_fails() {
  local name=$1
  shift
  if "$@" >"$TMP/check.log" 2>&1; then
    fail "$name" "succeeded: $*"
  else
    ok "$name"
  fi
}

start() {
  local name=$1
  shift
  "$@" >>"$TMP/$name.log" 2>&1 &
  printf -v "pid_$name" '%d' "$!"
  started+=("$!")
}

stop() {
  local pid="pid_$1"
  kill "-${2:-TERM}" "${!pid}" 2>/dev/null
  wait "${!pid}" 2>/dev/null
}

alive() {
  local pid="pid_$1"
  kill -0 "${!pid}" 2>/dev/null
}

wait_for() {
  local until=$((SECONDS + $1 + 1))
  shift
  while ((SECONDS < until)); do
    if "$@" >/dev/null 2>&1; then return 0; fi
    sleep 0.1
  done
  return 1
}

# queryd as $TMP/queryd.conf has it, with $SOCKET. Its address comes in $URL; SCHEME=http where it has no certificate.
start_queryd() {
  : >"$TMP/queryd.log"
  start queryd "$BIN/queryd" --config "$TMP/queryd.conf"
  wait_for 10 grep -q "listening on $SOCKET" "$TMP/queryd.log" || fail 'queryd starts'
  # shellcheck disable=SC2034 # the tests use it
  URL=${SCHEME:-https}://127.0.0.1:$(sed -n 's/.*listening on 127.0.0.1 port \([0-9]*\) .*/\1/p' "$TMP/queryd.log")
}

ctl() { "$BIN/queryctl" --config "$TMP/queryd.conf" "$@"; }

finish() {
  local pid status=$?
  for pid in "${started[@]}"; do kill -KILL "$pid" 2>/dev/null; done
  wait 2>/dev/null
  if ((failed > 0)); then
    for pid in "$TMP"/*.log; do
      echo "--- ${pid##*/}"
      tail -n 30 "$pid"
    done
  fi
  rm -rf "$TMP"
  echo "$passed passed, $failed failed"
  ((failed == 0 && status == 0)) || exit 1
}
trap finish EXIT
