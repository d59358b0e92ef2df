#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Accelerated time is time, and an hour of `make check-day` in it.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh" "$@"
here=$(dirname "$(realpath "$0")")
SPEED=50
export ASAN_OPTIONS=verify_asan_link_order=0

check "fasttime is built" "${CC:-gcc}" -shared -fPIC -O2 -D_GNU_SOURCE -o "$TMP/fasttime.so" "$here/../lib/fasttime.c"
now_nsec() { python3 -c 'import time; print(time.monotonic_ns())'; }
fast() { FASTTIME="$SPEED@$(now_nsec)" LD_PRELOAD=$TMP/fasttime.so "$@"; }
check "clocks agree, and waits last by them" fast python3 "$here/../long/clocks.py"

# Two boards, each polled once in a second of its bmsd's time.
mkdir "$TMP/slow" "$TMP/quick"
for name in slow quick; do
  printf '[pack 0]\ndevice=%s\n[state]\ndir=%s\n' "$TMP/$name.pack" "$TMP/$name" >"$TMP/$name.conf"
  start "board_$name" "$BIN/bms-boardsim" --link "$TMP/$name.pack" --control "$TMP/$name.control"
  check "board of the $name one" wait_for 5 test -L "$TMP/$name.pack" -a -S "$TMP/$name.control"
done
answers() { "$BIN/bms-boardsim" --control "$TMP/$1.control" --tell truth | sed 's/.*"answers":\([0-9]*\).*/\1/'; }
at_least() { (($(answers "$1") >= $2)); }
export DBUS_SYSTEM_BUS_ADDRESS="unix:path=$TMP/no-bus"
start slow "$BIN/bmsd" --config "$TMP/slow.conf"
FASTTIME="$SPEED@$(now_nsec)" LD_PRELOAD=$TMP/fasttime.so start quick "$BIN/bmsd" --config "$TMP/quick.conf"
check "both poll" wait_for 10 at_least slow 4
slow_before=$(answers slow) quick_before=$(answers quick)
check "some polls later" wait_for 10 at_least slow $((slow_before + 6))
polled="$(($(answers quick) - quick_before)) and $(($(answers slow) - slow_before)) answers"
# shellcheck disable=SC2016 # awk's
check "the quick one polls tens of times as often ($polled)" awk '{ exit !($1 > 10 * $3) }' <<<"$polled"
check "SIGTERM reaches it" stop quick
stop slow

check "an hour, four packs and faults" env DAY_HOURS=1.1 SPEED=300 WATCHDOG_SEC=150 SEED="${SEED:-1}" \
  "$here/../long/day" "$BIN"
grep ' h ' "$TMP/check.log"
