#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# From the first release of bmsd to this one, back, and here again: what it wrote is kept in tests/data, and
# what it would do with our files is in first_bmsd.py.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh" "$@"
# shellcheck source=tests/integration/bmsd_bed.sh
. "$(dirname "$0")/bmsd_bed.sh"
here=$(dirname "$(realpath "$0")")
first=$here/../data/bmsd-first
slots=$TMP/state/packs/0
version=$("$BIN/bmsd" --version | awk '{ print $2 }')

mkdir -p "$slots"
cp "$first"/state.? "$slots/"
cat >"$TMP/bmsd.conf" <<EOF2
[pack 0]
device=$TMP/pack0
poll_interval_msec=200
[state]
dir=$TMP/state
EOF2
first_bmsd() { python3 "$here/first_bmsd.py" "$@"; }
health() {
  busctl --address="$DBUS_SYSTEM_BUS_ADDRESS" --json=short call org.bmsgateway.Battery1 /org/bmsgateway/Battery1 \
    org.bmsgateway.Battery1 Health | jq -r '.data[0]'
}
# jq takes no answer for a good one.
health_is() { health | jq -es "length == 1 and (.[0] | $1)"; }
after() { UPDATERD_PHASE=after UPDATERD_VERSION=$version "$BIN/bmsd" --probe; }
# Some more than the total it comes with.
sampled() { wait_for 10 health_is ".packs[0].present and .packs[0].state.samples_total > $1 + 6"; }
status() { # NAME STATUS COMMAND...
  local got=0
  "${@:3}" >"$TMP/check.log" 2>&1 || got=$?
  if ((got == $2)); then ok "$1"; else fail "$1" "exit $got, not $2: $(<"$TMP/check.log")"; fi
}

# ---- up ----

check "bus" bus_begin
board 0 --model FRONT --cells 13 --current-ma -400 --soc 62
daemon
check "samples" sampled 60
status "as well as the first release" 0 after <"$first/baseline.json"
status "which is no matter of course" 2 after < <(sed 's/"soc_percent":62/"soc_percent":66/' "$first/baseline.json")
check "its state was restored" health_is '.packs[0].state | .restored and .damaged == 0 and .soc_saved_percent == 62'
check "the charge is taken over" health_is '.packs[0].soc_centipercent | . > 6150 and . < 6250'
check "from the board" health_is '.packs[0].soc_source == "board"'

# What the first release asks of a newer one's answer, should it be asked to judge it.
UPDATERD_PHASE=before "$BIN/bmsd" --probe >"$TMP/baseline"
check "the first release can read the answer" jq -es '.[0] |
  (.version | type == "string") and (.ready | type == "boolean") and (.update_ok | type == "boolean")
  and (.update_reasons | type == "array") and (.packs[0] | (.name == "0") and (.link == "up") and .present
  and (.model == "FRONT") and (.cells == 13) and (.error_rate_permille >= 0) and (.recent_polls > 0)
  and (.soc_percent | . >= 61 and . <= 62) and .state.restored and (.state.on_disk | type == "boolean"))' "$TMP/baseline"
check "stop" stop bmsd

# ---- back ----

check "the first release reads our state" first_bmsd read "$slots"
first_bmsd read "$slots" >"$TMP/ours.json"
check "with all that it knew" jq -es '.[0] | .soc_percent == 62 and .charge_uah > 24700000 and .samples_total > 60
  and .identity.model == "FRONT" and .identity.cells == 13 and .cycles == 100' "$TMP/ours.json"
check "and what it did not" jq -es '.[0] | .estimator.valid and .lifetime.discharged_uah > 0 and .event_sequence > 0' "$TMP/ours.json"
# It runs for half an hour, in which 1 % is ridden.
stop board0
check "half an hour passes" first_bmsd age "$slots" 1800
check "it goes on, and writes" first_bmsd run "$slots" 1000 61 24400000
board 0 --model FRONT --cells 13 --current-ma -400 --soc 61

# ---- here again ----

daemon
total=$(jq .samples_total "$TMP/ours.json")
check "samples again" sampled $((total + 1000))
sed 's/"soc_percent":62/"soc_percent":61/' "$first/baseline.json" >"$TMP/back.json"
status "as well as the first release, again" 0 after <"$TMP/back.json"
check "nothing is damaged" health_is '.packs[0].state | .restored and .damaged == 0 and (has("refused") | not)'
check "the charge follows the board" health_is '.packs[0].soc_centipercent | . > 6050 and . < 6150'
check "from where it was" health_is '.packs[0].soc_source == "board-delta"'
check "the events go on" health_is ".event_sequence > $(jq .event_sequence "$TMP/ours.json")"
check "and are all there" jq -es "map(.sequence) == [range(1; length + 1)]" <("$BIN/bmsd" --events --json)
check "stop again" stop bmsd
first_bmsd read "$slots" >"$TMP/again.json"
grown() {
  jq -es '.[0].lifetime as $was | .[1].lifetime as $is |
    all("charged_uah", "discharged_uah", "discharged_uwh", "watched_sec"; $is[.] >= $was[.])' "$@"
}
check "no counter of ours is less" grown "$TMP/ours.json" "$TMP/again.json"
