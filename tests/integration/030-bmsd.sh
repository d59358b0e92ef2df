#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# bmsd on a bus of its own, with boards at the end of pseudo terminals: samples, probe, pulled cables,
# kills, state, watchdog.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh" "$@"
# shellcheck source=tests/integration/bmsd_bed.sh
. "$(dirname "$0")/bmsd_bed.sh"

VERSION=$("$BIN/bmsd" --version | awk '{ print $2 }')
bmsd_conf ""

# A service manager's end of sd_notify: what arrives is appended to a file.
# shellcheck disable=SC2016 # Perl variables
start notify perl -MSocket -e '
  socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or die; bind($s, sockaddr_un($ARGV[0])) or die;
  $| = 1; while (defined recv($s, my $m, 4096, 0)) { print "$m\n" }' "$TMP/notify"
check "test bed" bus_begin
check "its end" wait_for 5 test -S "$TMP/notify"

daemon() {
  : >"$TMP/notify.log"
  NOTIFY_SOCKET=$TMP/notify WATCHDOG_USEC=2000000 start bmsd "$BIN/bmsd" \
    --config "$TMP/bmsd.conf"
}
said() { grep -q "$1" "$TMP/notify.log"; }
health() { "$BIN/bmsd" --probe | grep -q "$1"; }
before() { UPDATERD_PHASE=before "$BIN/bmsd" --probe >"$TMP/baseline"; }
after() { UPDATERD_PHASE=after UPDATERD_VERSION=${1:-$VERSION} "$BIN/bmsd" --probe; }
verdict() { # NAME STATUS COMMAND...
  local name=$1 want=$2 got
  shift 2
  "$@" >"$TMP/verdict.log" 2>&1
  got=$?
  if ((got == want)); then ok "$name"; else fail "$name" "exit $got, not $want"; fi
}

# ---- words and files ----

check "version names release and project" grep -Eq '^bmsd B[0-9]{12} \(bms-gateway [0-9.]+\)$' \
  <("$BIN/bmsd" --version)
check "help" grep -q -- --check-config <("$BIN/bmsd" --help)
check "a good configuration" "$BIN/bmsd" --check-config --config "$TMP/bmsd.conf"
printf '[pack 0]\ndevice=/dev/null\nbuad=9600\n' >"$TMP/bad.conf"
verdict "a typing error is an error" 78 "$BIN/bmsd" --check-config --config "$TMP/bad.conf"
check "and is named" grep -q buad "$TMP/verdict.log"
printf '[pack 0]\ndevice=/dev/null\nbaud=960\n' >"$TMP/bad.conf"
verdict "a wrong value is an error beforehand" 78 "$BIN/bmsd" --check-config --config "$TMP/bad.conf"
verdict "unknown options" 64 "$BIN/bmsd" --nonsense
verdict "status without a daemon" 1 "$BIN/bmsd" --status
verdict "probe without a daemon" 1 before

# ---- ready without any board ----

daemon
check "READY without a board" wait_for 5 said '^READY=1'
check "STATUS says why there is nothing" said 'STATUS=pack 0: .*No such file'
check "the link is down" pack_is Link 's "down"'
check "capacity is unknown" pack_is Capacity 'x -1'
verdict "a good time for an upgrade" 0 before
verdict "a pack that was away may stay away" 0 after <"$TMP/baseline"

# ---- boards appear ----

board 0 --model FRONT --cells 13 --current-ma -400 --faults junk,split,echo
board 1 --model REAR --cells 17 --ntc 3 --soc 55
check "a board that appears is found" wait_for 8 pack_is Present 'b true'
check "model" pack_is Model 's "FRONT"'
check "capacity" pack_is Capacity 'x 80'
check "design charge" pack_is ChargeFullDesign 'x 40000000'
check "13 cells" grep -q '^ax 13 ' <(property $PACK org.bmsgateway.Battery1.Pack CellVoltages)
check "the second pack too" wait_for 8 is /org/bmsgateway/Battery1/pack1 \
  org.bmsgateway.Battery1.Pack Model 's "REAR"'
check "both are listed" grep -q '^ao 2 ' \
  <(property /org/bmsgateway/Battery1 org.bmsgateway.Battery1 Packs)
check "version on the bus" is /org/bmsgateway/Battery1 org.bmsgateway.Battery1 Version \
  "s \"$VERSION\""
check "introspection" grep -Eq '^\.VoltageNow +property +x .*emits-change' \
  <(busctl --address="$DBUS_SYSTEM_BUS_ADDRESS" introspect org.bmsgateway.Battery1 $PACK)
start monitor busctl --address="$DBUS_SYSTEM_BUS_ADDRESS" monitor org.bmsgateway.Battery1
check "changes are signalled" wait_for 5 grep -q 'STRING "CurrentNow"' "$TMP/monitor.log"
stop monitor
check "status for people" grep -q 'pack 1 (jbd, link up) REAR' <("$BIN/bmsd" --status)
check "status as JSON" grep -q '"model":"REAR"' <("$BIN/bmsd" --status --json)
check "samples go on" wait_for 8 health '"number":0.*"samples_ok":[0-9][0-9].*"number":1'
# Each poll has some, and each has 200 ms: a busy machine may miss one or two of them by itself.
check "faults of the line cost no sample" jq -es '.[0].packs[0] | .samples_ok > 8 * .polls_failed' <("$BIN/bmsd" --probe)

# ---- the probe ----

verdict "before, with packs" 0 before
verdict "after, the same daemon" 0 after <"$TMP/baseline"
verdict "after, without a baseline" 0 after </dev/null
verdict "after, another version" 4 after B209912319999 <"$TMP/baseline"
sed 's/"model":"REAR"/"model":"SWAN"/' "$TMP/baseline" >"$TMP/other"
verdict "after, another board" 2 after <"$TMP/other"
check "with its reason" grep -q "\"reasons\":\[\"pack sidecar: the board was 'SWAN'" "$TMP/verdict.log"
verdict "after, a torn baseline" 2 after < <(head -c 100 "$TMP/baseline")
verdict "after, a huge baseline" 2 after < <(head -c 1000000 /dev/zero | tr '\0' ' ')

# ---- a pulled cable ----

stop board0
check "a pulled cable is seen" wait_for 5 pack_is Link 's "down"'
check "and no old value is shown" pack_is VoltageNow 'x 0'
check "nor what a charger may do" pack_is ChargeCurrentMax 'x -1'
check "nor a charge that nobody counts" pack_is StateOfCharge 'x -1'
check "bmsd lives" alive bmsd
verdict "the probe waits for the link, in vain" 1 after <"$TMP/baseline"
verdict "an upgrade may go on meanwhile" 0 before
board 0 --model FRONT --cells 13 --current-ma -400
check "the cable is back" wait_for 8 pack_is Present 'b true'

# ---- end, kill, restore ----

check "SIGTERM ends it well" stop bmsd
check "STOPPING is said" said '^STOPPING=1'
check "state is saved" grep -q '"soc_percent":80' "$TMP/state/packs/0/state.a"
check "by the pack's name" test -f "$TMP/state/packs/sidecar/state.a"
daemon
check "samples again" wait_for 8 pack_is Present 'b true'
check "state was restored" health '"restored":true,"damaged":0,.*"soc_saved_percent":80'
verdict "before the kill" 0 before
stop bmsd KILL
daemon
check "samples after SIGKILL" wait_for 8 pack_is Present 'b true'
verdict "as well as before the kill" 0 after <"$TMP/baseline"
check_fails "a second daemon is refused" "$BIN/bmsd" --config "$TMP/bmsd.conf"
stop bmsd
printf junk >"$TMP/state/packs/0/state.b"
printf junk >"$TMP/state/packs/0/state.a"
daemon
check "READY with damaged state" wait_for 5 said '^READY=1'
check "which is said" grep -q 'state of pack 0: 2 of 2 files damaged' "$TMP/bmsd.log"
check "kept" grep -q junk "$TMP/state/packs/0/state.a.damaged"
verdict "and told to the probe" 2 after <"$TMP/baseline"

# ---- riding, watchdog, no bus ----

stop board0
board 0 --model FRONT --cells 13 --current-ma -20000
check "riding" wait_for 8 health '"update_ok":false'
verdict "is not the time" 3 before
check "for a reason" grep -q '"reasons":\["pack 0: .* A is flowing"\]' "$TMP/baseline"
: >"$TMP/notify.log"
check "the watchdog is fed" wait_for 5 said '^WATCHDOG=1'
stop bus
: >"$TMP/notify.log"
check "without a bus it goes on polling" wait_for 5 grep -q 'WATCHDOG=1' "$TMP/notify.log"
rm -f "$TMP/bus"
start bus dbus-daemon --config-file="$TMP/bus.conf" --nofork
check "and comes back on it" wait_for 10 pack_is Present 'b true'
stop bmsd
stop bus
daemon
check "READY without a bus" wait_for 5 said '^READY=1'
check "SIGTERM without a bus" stop bmsd
stop board0
check_fails "the board's link is gone" test -L "$TMP/pack0"
