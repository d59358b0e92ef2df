#!/bin/bash
# bmsd as it is installed, in its sandbox, before boards of two makes: what people, monitoring and a broker
# get of it, who may command, and what outlives a restart, a pulled cable and a missing library.
. "$(dirname "$0")/lib.sh"

site_up
gateway_up
PACK=/org/bmsgateway/Battery1/pack
MQTT=bmsd-mqtt.service

# ---- what is asked ----

status() { gw bmsd --status --json; }
status_is() { status | jq -e "$1" >/dev/null; }
health() {
  gw busctl --json=short call org.bmsgateway.Battery1 /org/bmsgateway/Battery1 org.bmsgateway.Battery1 Health |
    jq -r '.data[0]'
}
health_is() { health | jq -e "$1" >/dev/null; }
pack_says() { gw busctl get-property org.bmsgateway.Battery1 "$PACK$1" org.bmsgateway.Battery1.Pack "$2"; }
pack_is() { [[ $(pack_says "$1" "$2") == "$3" ]]; }
last_event() { gw bmsd --events --json | jq -s 'map(.sequence) | max'; }
happened() { # EVENT AFTER [PACK]
  gw bmsd --events --json --after "$2" | jq -es "any(.[]; .event == \"$1\"${3:+ and .pack == $3})"
}
metrics() { curl -sS --max-time 5 --unix-socket "/proc/$GW_LEADER/root/run/bmsd-metrics.sock" http://localhost/metrics; }
metrics_say() { grep -qxF "$1" <<<"$(metrics)"; }
pid_of() { gw systemctl show -p MainPID --value "$1"; }
exits() { # CODE COMMAND...
  local code=$1 status=0
  shift
  "$@" >"$RUN/run.log" 2>&1 || status=$?
  ((status == code))
}
samples='[.packs[].present] == [true, true]'

# ---- two boards ----

gw systemd-run --quiet --unit=sidecar -p Type=notify -p Group=dialout -p RuntimeDirectory=sidecar \
  /usr/local/bin/bms-boardsim --link /run/sidecar/pack --protocol daly --chemistry lfp --cells 16 --soc 55 --group dialout
cat >>"$GW_ROOT/etc/bmsd/bmsd.conf" <<'EOF2'
[pack 1]
driver = daly
device = /run/sidecar/pack
chemistry = lfp
name = sidecar
[fet]
allowed = yes
EOF2
check "the configuration is good" gw bmsd --check-config
sed 's/^chemistry/chemsitry/' "$GW_ROOT/etc/bmsd/bmsd.conf" >"$GW_ROOT/root/typo.conf"
check "a typing error is one" exits 78 gw bmsd --check-config --config /root/typo.conf
# As after the package of an older bmsd: the socket is new, and bmsd runs.
gw systemctl stop bmsd-metrics.socket
check "a restart" gw systemctl restart bmsd.service
check "samples of both" within 20 status_is "$samples"
check "one over JBD, one over Daly" status_is '[.packs[].driver] == ["jbd", "daly"]'
check "with the cells of each" status_is '[.packs[].cell_voltages_uv | length] == [13, 16]'
check "status for people" grep -q '^pack 1 (daly, link up)' <(gw bmsd --status)
equal "an object for each on the bus" "ao 2 \"${PACK}0\" \"${PACK}1\"" \
  "$(gw busctl get-property org.bmsgateway.Battery1 /org/bmsgateway/Battery1 org.bmsgateway.Battery1 Packs)"
check "with values" pack_is 0 ChargeFullDesign 'x 40000000'
check "of its own" grep -q '^ax 16 ' <(pack_says 1 CellVoltages)
check "the probe, as updaterd's installer asks it" gw runuser -u bmsd -- bmsd --probe
check "events" happened link-up 0 1
check "in a row" jq -es 'map(.sequence) | . == sort and length > 1' <(gw bmsd --events --json)
points() { (($(gw bmsd --history --seconds --pack 1 --since 5m --json | jq -s length) >= 2)); }
check "history" within 10 points
check "metrics came with the restart" within 5 metrics_say 'bmsd_pack_up{pack="0"} 1'
check "of both" metrics_say 'bmsd_pack_up{pack="sidecar"} 1'

# ---- who may command ----

as_nobody() { gw setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"; }
set_fet=(org.bmsgateway.Battery1 "${PACK}0" org.bmsgateway.Battery1.Pack SetFet sbsu charge false test 60)
check "anybody may look" as_nobody bmsd --status
refused() { ! "$@" >"$RUN/refused.log" 2>&1 && grep -qi 'denied\|rejected' "$RUN/refused.log"; }
check "but not switch" refused as_nobody bmsd --set-fet charge=off --reason test --lease 1m
check "nor past the program" refused as_nobody busctl call "${set_fet[@]}"
check "nor bmsd's own user" refused gw runuser -u bmsd -- busctl call "${set_fet[@]}"
check "nothing was switched" pack_is 0 ChargeFet 'b true'
check "root may" gw bmsd --set-fet charge=off --reason "work on the charger" --lease 1m
check "and the board obeys" within 10 pack_is 0 ChargeFet 'b false'
check "and takes it back" gw bmsd --set-fet charge=on
check "which it obeys, too" within 10 pack_is 0 ChargeFet 'b true'

# ---- what outlives a restart ----

kept='[.packs[0].state.samples_total, .packs[0].lifetime.discharged_uah // 0, .event_sequence]'
before=$(health | jq -c "$kept") events=$(last_event) pid=$(pid_of bmsd.service)
check "bmsd restarts" gw systemctl restart bmsd.service
check "to samples" within 20 status_is "$samples"
check "in another process" test "$pid" != "$(pid_of bmsd.service)"
check "state was restored" health_is 'all(.packs[].state; .restored and .damaged == 0)'
check "no counter is less ($before)" health_is "$kept as \$now | all(range(3); \$now[.] >= ${before}[.])"
check "the events are still there" happened link-up 0 1
check "and are numbered on" test "$(last_event)" -gt "$events"

# ---- a cable ----

events=$(last_event)
gw systemctl stop bms-boardsim.service
check "a device that vanishes" within 10 pack_is 0 Link 's "down"'
check "is an event" happened link-down "$events" 0
check "of that pack alone" pack_is 1 Link 's "up"'
check "and in the metrics" within 5 metrics_say 'bmsd_pack_up{pack="0"} 0'
gw systemctl start bms-boardsim.service
check "comes back" within 20 status_is "$samples"
check "as an event" happened link-up "$events" 0

# ---- a configuration that is not taken, as after a roll back ----

running_with() { # FILTER: whatever is in the file, it runs
  gw systemctl restart bmsd.service && within 10 status_is "$1"
}
gw cp -p /etc/bmsd/bmsd.conf /root/bmsd.conf
gw sed -i 's/^driver = daly/driver = newer/' /etc/bmsd/bmsd.conf
check "a driver that it does not know" running_with '(.packs | map(.number) == [0]) and .config_refused[0].pack == 1'
check "costs that pack alone" within 20 pack_is 0 Link 's "up"'
check "which the unit says" grep -q '\[pack 1\] is left out' <(gw systemctl show -p StatusText bmsd.service)
check "a good time for an upgrade, though" within 20 gw runuser -u bmsd -- bmsd --probe
gw rm /etc/bmsd/bmsd.conf
check "no file at all" running_with '.ready and .packs == []'
check "is not well" exits 2 gw runuser -u bmsd -- bmsd --probe
check "for a reason" grep -q 'no pack is left: /etc/bmsd/bmsd.conf: No such file' "$RUN/run.log"
check "and the unit is up" gw systemctl is-active --quiet bmsd.service
gw mv /root/bmsd.conf /etc/bmsd/bmsd.conf
check "the file is back" running_with '.config_refused == []'
check "and the samples are" within 20 status_is "$samples"

# ---- a broker, beside the gateway ----

cat >"$RUN/broker.conf" <<'EOF2'
listener 1883 127.0.0.1
allow_anonymous true
user root
EOF2
ip netns exec "$NETNS" "$(PATH=$PATH:/usr/sbin command -v mosquitto)" -c "$RUN/broker.conf" >"$RUN/broker.log" 2>&1 &
SITE_PIDS+=($!)
retained() { ip netns exec "$NETNS" mosquitto_sub -h 127.0.0.1 -t "$1" -C 1 -W 3; }
online() { [[ $(retained gw/availability) == "${1:-online}" ]]; }
mqtt_is() { [[ $(gw systemctl show -p "$1" --value "$MQTT") == "$2" ]]; }
printf '[broker]\nhost=127.0.0.1\n[publish]\ntopic=gw\ninterval_msec=500\n' >"$GW_ROOT/etc/bmsd/mqtt.conf"
check "bmsd-mqtt is enabled" gw systemctl enable --now "$MQTT"
check "and tells the broker" within 10 online
cells_at_broker() { [[ $(retained "gw/pack$1/state" | jq '.cell_voltages_uv | length') == "$2" ]]; }
check "of one pack" cells_at_broker 0 13
check "and the other" cells_at_broker 1 16
pid=$(pid_of "$MQTT")
gw systemctl restart bmsd.service
replaced() { mqtt_is ActiveState active && [[ $(pid_of "$MQTT") != "$pid" ]]; }
check "it is replaced with bmsd" within 20 replaced
check "and tells the broker again" within 10 online

# A release of bmsd from before there was a bmsd-mqtt; a gateway that never got its library.
gw mv /opt/bmsd/current/bin/bmsd-mqtt /root/
check "without the program" gw systemctl restart bmsd.service
skipped() { mqtt_is ConditionResult no && mqtt_is ActiveState inactive; }
check "it is left out" within 10 skipped
check "the broker hears that it is gone" online offline
gw mv /root/bmsd-mqtt /opt/bmsd/current/bin/
gw sh -c 'mv /usr/lib/*/libmosquitto.so.1 /root/'
gw systemctl restart bmsd.service
check "without its library it fails" within 20 mqtt_is ExecMainStatus 127
check "for good" mqtt_is ActiveState failed
check "and says why" grep -q 'libmosquitto.so.1: cannot open shared object' <(gw journalctl -u "$MQTT" --no-pager)
check "bmsd takes no notice" within 20 status_is "$samples"
gw ldconfig
check "with both it comes back" gw systemctl restart bmsd.service
check "at the broker, too" within 10 online
equal "nothing has failed" "" "$(gw systemctl --failed --no-legend)"

finish
