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
board 0 --model FRONT --cells 13 --current-ma -400
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
