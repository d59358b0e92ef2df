#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# As after a roll back: bmsd with a file that it does not take whole, or not at all, or that is not there. It
# runs with what is left, and says what is not.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh" "$@"
# shellcheck source=tests/integration/bmsd_bed.sh
. "$(dirname "$0")/bmsd_bed.sh"

VERSION=$("$BIN/bmsd" --version | awk '{ print $2 }')
before() { UPDATERD_PHASE=before "$BIN/bmsd" --probe >"$TMP/${1:-before}"; }
after() { UPDATERD_PHASE=after UPDATERD_VERSION=$VERSION "$BIN/bmsd" --probe; }
verdict() { # NAME STATUS COMMAND...
  local got=0
  "${@:3}" >"$TMP/verdict.log" 2>&1 || got=$?
  if ((got == $2)); then ok "$1"; else fail "$1" "exit $got, not $2: $(<"$TMP/verdict.log")"; fi
}
status_is() { "$BIN/bmsd" --status --json | jq -es "length == 1 and (.[0] | $1)"; }
serves() { wait_for 8 status_is ".ready and (.packs | map(select(.present)) | length == $1)"; }

check "bus" bus_begin
board 0 --model FRONT --cells 13 --current-ma -400
board 1 --model REAR --cells 17 --ntc 3 --soc 55

# ---- the newer one's, which it takes ----

bmsd_conf ""
daemon
check "two packs" serves 2
check "all of the file is taken" status_is '.config_refused == []'
check "the baseline" before baseline
check "stop" stop bmsd

# ---- values of a newer one ----

bmsd_conf "[alarm cell-overvoltage]
level=page
[pack 0]
ocv_table=newer
[pack 1]
driver=canbus"
verdict "beforehand, it is an error" 78 "$BIN/bmsd" --check-config --config "$TMP/bmsd.conf"
check "with line, section and key" grep -Eq 'bmsd.conf:[0-9]+: \[alarm cell-overvoltage\] level = page: must be' \
  "$TMP/verdict.log"
daemon
check "the pack that it knows all of is served" serves 1
check "the status says what is not taken" status_is '(.packs | map(.number) == [0])
  and (.config_refused | length == 3) and (.config_refused | map(select(.pack == 1)) | length == 1)'
check "for people, too" grep -Eq '^  \[pack 1\] is left out: .*driver = canbus: must be one of' <("$BIN/bmsd" --status)
check "the journal does" grep -q 'level = page: .*; left out' "$TMP/bmsd.log"
check "the events do" grep -q 'pack 1 config-refused: \[pack 1\] is left out' <("$BIN/bmsd" --events)
check "and the bus" grep -q '^as 3 ' <(property /org/bmsgateway/Battery1 org.bmsgateway.Battery1 ConfigRefused)
verdict "it is worse than before" 2 after <"$TMP/baseline"
check "for this reason" grep -q 'pack sidecar: it was served before and is not now: .*canbus' "$TMP/verdict.log"
check "but a good time for an upgrade" wait_for 8 before half
verdict "after which it is as well as before" 0 after <"$TMP/half"
check "stop again" stop bmsd

# ---- no pack is left ----

no_pack() { # NAME
  check "$1: it runs" wait_for 8 status_is '.ready and .packs == []'
  verdict "$1: it is not well" 2 before
  check "$1: which has a reason" jq -es ".[0].reasons | length == 1 and (.[0] | test(\"no pack is left: .*bmsd.conf\"))" "$TMP/before"
  verdict "$1: not as a new release, either" 2 after </dev/null
  check "$1: the log says so" grep -q 'no pack is left of the configuration' "$TMP/bmsd.log"
  check "$1: it ends as it should" stop bmsd
}
sed -i 's/^driver=.*//; s/^device=/driver=canbus\ndevice=/' "$TMP/bmsd.conf"
: >"$TMP/bmsd.log"
daemon
no_pack "unknown drivers"
# With an end of ours, so that it writes where it may.
head -c 20000 /dev/urandom >"$TMP/bmsd.conf"
printf '\n[state]\ndir=%s\n' "$TMP/state" >>"$TMP/bmsd.conf"
: >"$TMP/bmsd.log"
daemon
no_pack "noise"
