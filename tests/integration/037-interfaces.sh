#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What people and monitoring see of bmsd: the commands, the live view in a terminal, the metrics.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh" "$@"
# shellcheck source=tests/integration/bmsd_bed.sh
. "$(dirname "$0")/bmsd_bed.sh"
here=$(dirname "$(realpath "$0")")
# Debian's, which has Debian's modules, whatever else comes first in PATH.
PYTHON=/usr/bin/python3

check "bus" bus_begin
board 0 --model FRONT --cells 13 --current-ma -400 --control "$TMP/sim0"
board 1 --model REAR --cells 17 --ntc 3 --soc 55
bmsd_conf "[metrics]
socket=$TMP/metrics
[fet]
allowed=yes
[future]
unknown=1"
check_fails "an unknown section is an error beforehand" "$BIN/bmsd" --check-config --config "$TMP/bmsd.conf"
daemon
check "but no reason not to start" wait_for 8 pack_is Present 'b true'
check "and is said" grep -q '\[future\]: unknown section.*left out' "$TMP/bmsd.log"
wait_for 8 is /org/bmsgateway/Battery1/pack1 org.bmsgateway.Battery1.Pack Model 's "REAR"'

# ---- commands ----

check "status" grep -q 'pack 1 (jbd, link up) REAR' <("$BIN/bmsd" --status)
check "with cells" grep -Eq '^  cells .*\(cell [0-9]+\) to .* V \(cell [0-9]+\), spread [0-9]+ mV' \
  <("$BIN/bmsd" --status)
check "and charge within a margin" grep -Eq '^  charge +[0-9.]+ % within [0-9.]+ %' <("$BIN/bmsd" --status)
check "events" grep -q 'link-up' <("$BIN/bmsd" --events)
check "as JSON, one a line" jq -es 'length > 1 and (map(.sequence) | . == sort)' <("$BIN/bmsd" --events --json)
last=$("$BIN/bmsd" --events --json | jq -s 'map(.sequence) | max')
check "only what came after" [ -z "$("$BIN/bmsd" --events --after "$last")" ]
points() { (($("$BIN/bmsd" --history --seconds --since 5m --json | jq -s length) >= $1)); }
check "history second by second" wait_for 10 points 2
check "with voltages" jq -es 'all(.[]; .voltage_avg_uv > 30000000)' \
  <("$BIN/bmsd" --history --seconds --json | head -1)
check "for people" grep -Eq '^20.* [0-9]+\.[0-9]{2} ' <("$BIN/bmsd" --history --seconds)
check_fails "no such pack" "$BIN/bmsd" --history --pack 5
check_fails "no such duration" "$BIN/bmsd" --history --since yesterday
check "quiesce" "$BIN/bmsd" --quiesce
check_fails "a lock needs a reason" "$BIN/bmsd" --set-fet charge=off --lease 60
check "charging is held off" "$BIN/bmsd" --set-fet charge=off --reason "work on the charger" --lease 60
check "the board obeys" wait_for 8 pack_is ChargeFet 'b false'
check "and status says why" grep -q 'charge held off: work on the charger' <("$BIN/bmsd" --status)
check "given back" "$BIN/bmsd" --set-fet charge=on
check "and obeyed again" wait_for 8 pack_is ChargeFet 'b true'
check "the alarm about it is over" wait_for 60 pack_is Alarms 'as 0'
check "alarms are reset" "$BIN/bmsd" --reset-alarms

# ---- the live view ----

check "the live view" "$PYTHON" "$here/watch.py" "$BIN/bmsd"
check_fails "not without a terminal" "$BIN/bmsd" --watch

# ---- switches, while somebody rides ----

tell() { "$BIN/bms-boardsim" --control "$TMP/sim0" --tell "$1"; }
set_fet() { busctl --address="$DBUS_SYSTEM_BUS_ADDRESS" call org.bmsgateway.Battery1 "$PACK" \
  org.bmsgateway.Battery1.Pack SetFet sbsu "$@"; }
refused() { # PATTERN COMMAND...: it fails, and says so
  ! "${@:2}" >"$TMP/refusal" 2>&1 && grep -q "$1" "$TMP/refusal"
}
draws() { # more than so many milliamperes
  local now
  now=$(property "$PACK" org.bmsgateway.Battery1.Pack CurrentNow) && ((-${now#x } > $1 * 1000))
}
parked() { ! draws 500; }
check "no switch without a reason" refused 'a reason of at most 95 bytes is needed' set_fet discharge false "" 60
check "no switch for ever and a day" refused 'the lease may be 86400 seconds at most' \
  set_fet discharge false "because" 86401
check "no switch that is none" refused "which: 'charge' or 'discharge'" set_fet both false "because" 60
check "somebody rides" tell "current -8000"
check "and bmsd sees it" wait_for 8 draws 5000
check "the discharge switch is not opened" \
  refused 'A are flowing; the discharge switch is opened at 0.5 A at most' \
  "$BIN/bmsd" --set-fet discharge=off --reason "because" --lease 60
check "nor the charge switch, through whose diode it would flow" \
  refused 'the charge switch is opened at 0.5 A at most' set_fet charge false "because" 60
check "which is in the log" grep -q 'fet-refused discharge-off' <("$BIN/bmsd" --events)
check "the ride goes on" draws 5000
check "and ends" tell "current -300"
check "which bmsd sees" wait_for 8 parked
check "parked, it is opened" "$BIN/bmsd" --set-fet discharge=off --reason "parked" --lease 3
check "the board has opened it" wait_for 8 pack_is DischargeFet 'b false'
check "and no other" pack_is ChargeFet 'b true'
check "after the lease it is given back" wait_for 12 pack_is DischargeFet 'b true'
check "and no lock is left" pack_is DischargeFetLocked 'b false'
check "all is written, and shown" "$BIN/bmsd" --quiesce
check "which is in the log, too" grep -q 'fet-lease-over discharge' <("$BIN/bmsd" --events)

# ---- metrics ----

scrape() { curl -sS --max-time 5 --unix-socket "$TMP/metrics" "$@" http://localhost/metrics; }
check "metrics" grep -q '^bmsd_pack_up{pack="sidecar"} 1$' <(scrape)
check "an independent parser agrees" "$PYTHON" - <(scrape) <<'EOF'
import sys
from prometheus_client.parser import text_string_to_metric_families as parse
families = {f.name: f for f in parse(open(sys.argv[1]).read())}
cells = [s for s in families["bmsd_cell_voltage_volts"].samples if s.labels["pack"] == "0"]
assert [s.labels["cell"] for s in cells] == [str(n) for n in range(1, 14)], cells
assert all(2.5 < s.value < 4.3 for s in cells)
volts = {s.labels["pack"]: s.value for s in families["bmsd_pack_voltage_volts"].samples}
assert abs(volts["0"] - sum(s.value for s in cells)) < 1, volts
for name, family in families.items():
    assert family.type in ("gauge", "counter"), name
    assert family.documentation, name
    assert name.startswith("bmsd_") and (family.type != "counter" or all(s.name.endswith("_total") for s in family.samples)), name
    assert len({tuple(sorted(s.labels.items())) for s in family.samples}) == len(family.samples), name
assert len(families) > 30
EOF
check "the type is said" grep -qi '^content-type: text/plain; version=0.0.4' <(scrape -i)
check "nothing else is there" grep -q '^HTTP/1.1 404' <(curl -si --unix-socket "$TMP/metrics" http://localhost/)
check "only for its group" [ "$(stat -c %a "$TMP/metrics")" = 660 ]
# Eight clients that say nothing take all places; they are dropped after five seconds.
start silent python3 -c 'import socket, sys, time
held = [socket.socket(socket.AF_UNIX) for n in range(12)]
[s.connect(sys.argv[1]) for s in held]
time.sleep(60)' "$TMP/metrics"
check "silent clients hold nobody up for long" wait_for 15 scrape -o /dev/null
check "and not the polls" "$BIN/bmsd" --status
stop silent KILL
start flood python3 -c 'import socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(b"x" * 100000)' "$TMP/metrics"
check "an endless request is cut" wait_for 8 scrape -o /dev/null
stop bmsd KILL
daemon
check "a socket that was left is taken over" wait_for 8 scrape -o /dev/null
check "SIGTERM" stop bmsd
check_fails "removes it" test -e "$TMP/metrics"

# ---- without a daemon ----

left() { "$BIN/bmsd" --config "$TMP/bmsd.conf" "$@" 2>"$TMP/said"; }
check "what happened is on disk" grep -q 'fet-lease-over discharge' <(left --events)
check "and where it comes from is said" grep -q 'this is what it left on disk' "$TMP/said"
check "as JSON, one a line, and the end of the daemon" jq -es 'length > 10 and .[-1].event == "stopped"' \
  <(left --events --json)
check "the minutes are, too" jq -es 'length > 0 and all(.[]; .voltage_avg_uv > 30000000)' \
  <(left --history --json)
check_fails "the seconds are not" left --history --seconds
check "which is said" grep -q 'the seconds are in memory alone' "$TMP/said"
check_fails "nor is a pack that is none" left --history --pack 5
check_fails "without a configuration nobody knows where" "$BIN/bmsd" --events --config "$TMP/none.conf"
