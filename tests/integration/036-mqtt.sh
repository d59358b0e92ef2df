#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# bmsd-mqtt and a real broker: discovery, values, the last will, a broker that goes away, the bound of the
# buffer, TLS, passwords.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh" "$@"
# shellcheck source=tests/integration/bmsd_bed.sh
. "$(dirname "$0")/bmsd_bed.sh"

MOSQUITTO=$(PATH=$PATH:/usr/sbin command -v mosquitto)
free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
PORT=$(free_port) TLS_PORT=$(free_port)

# ---- a broker with TLS and passwords ----

certificate() { # NAME SUBJECT-ALTERNATIVE-NAME: signed by ca
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$TMP/$1.key" -subj "/CN=$1" \
    -out "$TMP/$1.csr" 2>/dev/null
  openssl x509 -req -in "$TMP/$1.csr" -CA "$TMP/ca.pem" -CAkey "$TMP/ca.key" -CAcreateserial -days 2 \
    -extfile <(echo "subjectAltName=$2") -out "$TMP/$1.pem" 2>/dev/null
}
for ca in ca stranger; do
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$TMP/$ca.key" \
    -subj "/CN=$ca" -days 2 -out "$TMP/$ca.pem" 2>/dev/null
done
certificate broker IP:127.0.0.1
echo 'gateway:right' >"$TMP/passwords"
mosquitto_passwd -U "$TMP/passwords"
broker_conf() { # NAME PORT TEXT
  cat >"$TMP/$1.conf" <<EOF
user $(id -un)
listener $2 127.0.0.1
max_queued_messages 10000
$3
EOF
}
mkdir "$TMP/broker-data"
broker_conf broker "$PORT" "allow_anonymous true
persistence true
persistence_location $TMP/broker-data/"
broker_conf tls "$TLS_PORT" "allow_anonymous false
password_file $TMP/passwords
certfile $TMP/broker.pem
keyfile $TMP/broker.key"

listening() { (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
broker() {
  start broker "$MOSQUITTO" -c "$TMP/broker.conf"
  wait_for 5 listening "$PORT"
}
mqtt_conf() { # TEXT
  cat >"$TMP/mqtt.conf" <<EOF
[broker]
host=127.0.0.1
client_id=gw7
$1
[publish]
topic=site/gw7
interval_msec=500
buffer_kib=${2:-256}
EOF
}
bridge() { start bridge "$BIN/bmsd-mqtt" --config "$TMP/mqtt.conf"; }
said() { grep -q "$1" "$TMP/bridge.log"; }
heard() { grep -q "$1" "$TMP/listener.log"; }
# What the broker has retained for a topic.
retained() { mosquitto_sub -h 127.0.0.1 -p "$PORT" -t "$1" -C 1 -W 2; }
retained_is() { [[ $(retained "$1") == "$2" ]]; }

# ---- configuration ----

check "version" grep -Eq '^bmsd-mqtt B[0-9]{12} ' <("$BIN/bmsd-mqtt" --version)
mqtt_conf "port=$PORT"
check "a good configuration" "$BIN/bmsd-mqtt" --check-config --config "$TMP/mqtt.conf"
mqtt_conf "prot=$PORT"
check_fails "a typing error is an error" "$BIN/bmsd-mqtt" --check-config --config "$TMP/mqtt.conf"
mqtt_conf "cert_file=/x"
check_fails "a certificate without TLS too" "$BIN/bmsd-mqtt" --check-config --config "$TMP/mqtt.conf"

# ---- values and discovery ----

check "bus" bus_begin
check "broker" broker
board 0 --model FRONT --cells 13 --current-ma -400
bmsd_conf ""
daemon
check "samples" wait_for 8 pack_is Present 'b true'
start listener mosquitto_sub -h 127.0.0.1 -p "$PORT" -t 'site/#' -t 'homeassistant/#' -v -c -i listener -q 1
mqtt_conf "port=$PORT"
bridge
check "connected" wait_for 5 said 'connected$'
check "online" wait_for 5 retained_is site/gw7/availability online
check "values" wait_for 5 heard '^site/gw7/pack0/state .*"voltage_now_uv":[0-9]'
retained site/gw7/pack0/state >"$TMP/state.json"
check "they are what bmsd says" [ "$(jq -r .model "$TMP/state.json")" = FRONT ]
check "of 13 cells" [ "$(jq '.cell_voltages_uv | length' "$TMP/state.json")" = 13 ]
check "with bmsd's own state of charge" jq -e '.estimate_soc_centipercent > 0' "$TMP/state.json"
check "the other pack is there without values" wait_for 5 heard '^site/gw7/pack1/state .*"present":false'
DOC=homeassistant/sensor/gw7/pack0_voltage_now_uv/config
check "discovery" wait_for 5 heard "^$DOC "
retained "$DOC" >"$TMP/doc.json"
check "names the state's topic" [ "$(jq -r .state_topic "$TMP/doc.json")" = site/gw7/pack0/state ]
check "a unit" [ "$(jq -r .unit_of_measurement "$TMP/doc.json")" = V ]
check "the device" [ "$(jq -r '.device.model' "$TMP/doc.json")" = FRONT ]
check "and the availability" [ "$(jq -r .availability_topic "$TMP/doc.json")" = site/gw7/availability ]
check "each cell" heard '^homeassistant/sensor/gw7/pack0_cell_13/config '
check_fails "and no more" heard 'pack0_cell_14'
check_fails "nothing of the pack that is away" heard '^homeassistant/.*pack1_'
check "ids are unique" [ "$(grep '^homeassistant' "$TMP/listener.log" | sed 's/^[^ ]* //' | jq -r .unique_id |
  sort | uniq -d | wc -l)" = 0 ]

# ---- events ----

stop board0
check "an event" wait_for 8 heard '^site/gw7/event .*"event":"link-down"'
board 0 --model FRONT --cells 13 --current-ma -400
check "and the next" wait_for 8 heard '^site/gw7/event .*"event":"link-up"'

# ---- who is there ----

stop bridge KILL
check "the last will" wait_for 5 retained_is site/gw7/availability offline
bridge
check "online again" wait_for 5 retained_is site/gw7/availability online
stop bridge
check "a proper end is told" wait_for 5 retained_is site/gw7/availability offline
bridge
check "and back" wait_for 5 retained_is site/gw7/availability online
stop bmsd
check "a bmsd that is gone" wait_for 8 retained_is site/gw7/availability offline
daemon
check "and comes back" wait_for 8 retained_is site/gw7/availability online

# ---- the broker goes away ----

seconds() { grep '^site/gw7/pack0/state' "$TMP/listener.log" | grep -o '"wall_sec":[0-9]*' | cut -d: -f2 | sort -nu; }
: >"$TMP/bridge.log"
stop broker
check "is noticed" wait_for 5 said 'going on trying'
gone=$(date +%s)
while (($(date +%s) < gone + 3)); do sleep 0.2; done
check "broker again" broker
check "connects again" wait_for 40 said 'connected$'
waited() { seconds | grep -q "$((gone + 2))"; }
check "what happened meanwhile arrives" wait_for 8 waited
check_fails "nothing was dropped" said dropped
check "discovery is told anew" wait_for 5 retained_is site/gw7/availability online

# ---- the buffer is bounded ----

stop bridge
mqtt_conf "port=$PORT" 16
stop broker
: >"$TMP/bridge.log"
bridge
check "no broker at first" wait_for 5 said 'going on trying'
check "it stays alive" alive bridge
gone=$(date +%s)
while (($(date +%s) < gone + 8)); do sleep 0.2; done
check "broker at last" broker
check "the oldest were dropped" wait_for 40 said 'messages were dropped meanwhile'
stop bridge

# ---- TLS and passwords ----

start tls "$MOSQUITTO" -c "$TMP/tls.conf"
check "a broker with TLS" wait_for 5 listening "$TLS_PORT"
with_tls() { # CA PASSWORD: until it says how it went
  echo "$2" >"$TMP/password"
  : >"$TMP/bridge.log"
  mqtt_conf "port=$TLS_PORT
tls=yes
ca_file=$TMP/$1.pem
username=gateway
password_file=$TMP/password"
  bridge
  wait_for 8 said "$3"
  local r=$?
  stop bridge
  return "$r"
}
check "TLS with the right CA" with_tls ca right 'connected, with TLS'
check "another CA is refused" with_tls stranger right 'TLS'
check_fails "and not connected to" said connected
check "a wrong password is said" with_tls ca wrong "not authori"
check_fails "and is not logged" grep -q wrong "$TMP/bridge.log"
certificate broker DNS:elsewhere.example
stop tls
start tls "$MOSQUITTO" -c "$TMP/tls.conf"
wait_for 5 listening "$TLS_PORT"
check "a certificate of another name is refused" with_tls ca right 'TLS'
check_fails "and not connected to, either" said connected
stop bmsd
