# shellcheck shell=bash
# For tests/integration scripts around bmsd, sourced after lib.sh: a bus of its own, boards at the end of
# pseudo terminals, and the daemon.
#
#   bus_begin             the bus, as the system's for all that is started later
#   board N OPTION...     a simulated board at $TMP/packN
#   bmsd_conf TEXT        writes $TMP/bmsd.conf with packs 0 and 1, and TEXT
#   daemon                bmsd with that
#   property, is, pack_is as in `busctl get-property`
export DBUS_SYSTEM_BUS_ADDRESS="unix:path=$TMP/bus"
PACK=/org/bmsgateway/Battery1/pack0

cat >"$TMP/bus.conf" <<EOF
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=$TMP/bus</listen>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
  </policy>
</busconfig>
EOF

bus_begin() {
  start bus dbus-daemon --config-file="$TMP/bus.conf" --nofork
  wait_for 5 test -S "$TMP/bus"
}
board() { start "board$1" "$BIN/bms-boardsim" --link "$TMP/pack$1" "${@:2}"; }
bmsd_conf() {
  mkdir -p "$TMP/state"
  cat >"$TMP/bmsd.conf" <<EOF
[pack 0]
device=$TMP/pack0
poll_interval_msec=200
timeout_msec=200
[pack 1]
device=$TMP/pack1
poll_interval_msec=200
timeout_msec=200
name=sidecar
[limits]
stale_msec=2000
[state]
dir=$TMP/state
$1
EOF
}
daemon() { start bmsd "$BIN/bmsd" --config "$TMP/bmsd.conf"; }
property() { busctl --address="$DBUS_SYSTEM_BUS_ADDRESS" get-property org.bmsgateway.Battery1 "$@"; }
is() { [[ $(property "$1" "$2" "$3") == "$4" ]]; }
pack_is() { is "$PACK" org.bmsgateway.Battery1.Pack "$1" "$2"; }
