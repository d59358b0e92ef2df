#!/bin/bash
# One real upgrade, end to end: the timer fires, the gateway asks, fetches, swaps, proves, reports.
# Then what a person does: --check, --status, --history, --rollback, --install from a stick.
. "$(dirname "$0")/lib.sh"

NEW=B202109010001
site_up
gateway_up
# Elsewhere than where the releases are there is no room for one.
# shellcheck disable=SC2016 # for the shell in the gateway
gw sh -c 'for dir in /tmp /var/tmp; do mount -t tmpfs -o size=64k,mode=1777 tmpfs $dir; done'
check "no room in /tmp, for a service of its own neither" \
  gw systemd-run --quiet --wait -p PrivateTmp=yes sh -c '! head -c 100000 /dev/zero >/tmp/x'
publish_b "$NEW" "$(tree_b "$NEW")"

check_status=0
new=$(gw updaterd --check 2>/dev/null) || check_status=$?
equal "--check names the new version" "$NEW" "$new"
equal "--check exits 0 when there is one" 0 "$check_status"
equal "--check changes nothing" releases/B202108010001 "$(current_of bmsd)"

# B's samples while it is replaced, from what it publishes itself.
gw busctl monitor --json=short --match \
  "type='signal',interface='org.freedesktop.DBus.Properties'" >"$RUN/samples.json" 2>/dev/null &
monitor=$!

# The timer, not a person: its calendar is moved from midnight to every few seconds.
gw mkdir -p /etc/systemd/system/updaterd.timer.d
gw sh -c 'printf "[Timer]\nOnCalendar=\nOnCalendar=*:*:0/5\nRandomizedDelaySec=0\n" \
  > /etc/systemd/system/updaterd.timer.d/soon.conf'
gw systemctl daemon-reload
gw systemctl restart updaterd.timer
upgraded() { [[ $(current_of bmsd) == releases/$NEW ]] && archived '.outcome == "confirmed"'; }
check "the timer alone brings the new version" within 60 upgraded
gw rm /etc/systemd/system/updaterd.timer.d/soon.conf
gw systemctl daemon-reload
gw systemctl restart updaterd.timer
sleep 2
end_pid "$monitor"

equal "current" "releases/$NEW" "$(current_of bmsd)"
equal "previous" releases/B202108010001 "$(gw readlink /opt/bmsd/previous)"
check "the new version runs" gw systemctl is-active bmsd.service
equal "and says so itself" "$NEW" \
  "$(running_version)"
check "the backup file is there" gw test -s /opt/bmsd/backups/B202108010001.tar.xz
check "the backup file holds the old release" gw sh -c \
  'mkdir /root/b && tar -xJf /opt/bmsd/backups/B202108010001.tar.xz -C /root/b && cmp /root/b/bin/bmsd /opt/bmsd/releases/B202108010001/bin/bmsd'
check "the journal is at rest" gw sh -c 'grep -aq "state=confirmed" /var/lib/updaterd/installer/journal.?'
equal "no stage is left" "" "$(gw sh -c 'ls -A /opt/bmsd/releases | grep stage || true')"
equal "no part of a download is left" "" "$(gw sh -c 'find /var/lib/updaterd/agent/inbox -type f')"
equal "the outbox is empty" "" "$(gw sh -c 'ls /var/lib/updaterd/agent/outbox 2>/dev/null')"
equal "the archive has one result" 1 "$(results | jq length)"
check "with versions, step and bytes" archived \
  '.outcome == "confirmed" and .from == "B202108010001" and .to == "B202109010001"
   and .step == "confirm" and .reason == "none" and .bytes_fetched > 1000 and .versions.B == "B202109010001"'
downtime=$(results | jq '.[0].downtime_ms')
check "B was down less than 5 s" test "$downtime" -lt 5000
gap=$(jq -s '[.[] | select(.path | startswith("/org/bmsgateway/Battery1/")) | ."timestamp-realtime"]
  | sort | [.[1:], .[:-1]] | transpose | map(.[0] - .[1]) | max / 1000 | floor' "$RUN/samples.json" 2>/dev/null || echo unknown)
echo "        B was down $downtime ms; largest gap between its samples: $gap ms"
state_restored() {
  gw busctl --json=short call org.bmsgateway.Battery1 /org/bmsgateway/Battery1 \
    org.bmsgateway.Battery1 Health | jq -r '.data[0]' | jq -es '.[0].packs[0].state.restored'
}
check "the state of B survived" state_restored
# Of both releases, in a row.
events_survived() {
  gw bmsd --events --json | jq -es '(map(.sequence) == [range(1; length + 1)]) and
    (map(select(.event == "started")) | length >= 2) and (map(.event) | index("stopped"))'
}
check "and its events" events_survived

status=0
gw updaterd --check >"$RUN/check.out" 2>&1 || status=$?
equal "--check exits 3 when there is nothing new" 3 "$status"
check "a run with nothing new exits 0" gw updaterd
check "and from its unit that is no failure" gw systemctl start updaterd.service

# A night that was missed. The second timer looks every second instead of every six hours.
gw rm /etc/systemd/system/updaterd-missed.timer # lib.sh's mask
gw mkdir /etc/systemd/system/updaterd-missed.timer.d
gw sh -c 'printf "[Timer]\nOnActiveSec=\nOnActiveSec=1\nOnUnitInactiveSec=1\nRandomizedDelaySec=0\n" \
  > /etc/systemd/system/updaterd-missed.timer.d/soon.conf'
gw systemctl daemon-reload
RECORD=/var/lib/updaterd/agent/answered
answered() { gw cut -d' ' -f1 "$RECORD"; }
record() { # SECONDS: as a run that was answered then would have
  printf '%s %08x\n' "$1" "$(printf %s "$1" | gzip -c | tail -c 8 | od -An -N4 -tu4)" >"$GW_ROOT$RECORD"
}
last_run() { gw systemctl show -p InvocationID --value updaterd.service; }
looks() { gw journalctl --no-pager -o cat -u updaterd-missed.service | grep -c 'no run was missed' || true; }
status_tells() { gw updaterd --status | grep "last answered at $(gw date -u -d "@$(answered)" '+%F %T UTC')"; }
check "--status tells when the query server last answered" status_tells
run=$(last_run)
almost=$(($(date +%s) - 25 * 3600 + 600))
record "$almost"
gw systemctl restart updaterd.timer
looks_often() { (($(looks) >= 3)); }
check "it looks again and again whether a night was missed" within 20 looks_often
equal "and asks nobody while none was" "$run $almost" "$(last_run) $(answered)"
run_was_answered() { [[ $(last_run) != "$run" && $(gw systemctl is-active updaterd.service) == inactive ]] && (($(answered) >= began)); }
made_up_for() { # DESCRIPTION
  check "$1: a run makes up for it" within 30 run_was_answered
  run=$(last_run) began=$(date +%s)
}
began=$(date +%s)
record $(($(date +%s) - 25 * 3600 - 1))
made_up_for "a night was missed"
record $(($(date +%s) + 3600))
made_up_for "a record from the future"
gw sh -c "echo damaged >$RECORD"
made_up_for "a damaged record"
gw rm "$RECORD"
made_up_for "no record"
looked=$(looks)
looks_on() { (($(looks) > looked)); }
check "and then it looks on" within 20 looks_on
gw systemctl stop updaterd-missed.timer
gw rm -r /etc/systemd/system/updaterd-missed.timer.d
gw ln -s /dev/null /etc/systemd/system/updaterd-missed.timer
gw systemctl daemon-reload
equal "no unit has failed" "" "$(gw systemctl list-units --failed --plain --no-legend)"

# A server that takes the question and does not answer.
kill -STOP "${SITE_PIDS[-1]}"
gw systemctl start --no-block updaterd.service
asks() { [[ -n $(ip netns exec "$NETNS" ss -tnH state established 'dport = :8443') ]]; }
check "a run waits for the server" within 10 asks
check "--status answers meanwhile" gw timeout 15 updaterd --status
check "and --history" gw timeout 15 updaterd --history
equal "the run still waits" activating "$(gw systemctl is-active updaterd.service)"
kill -CONT "${SITE_PIDS[-1]}"
run_over() { [[ $(gw systemctl is-active updaterd.service) == inactive ]]; }
check "which ends when it answers" within 20 run_over
check "--status shows both programs" gw sh -c "updaterd --status | grep -q $NEW && updaterd --status | grep -q A202108010001"
status_is_json() { gw updaterd --status --json | jq -es '.[0].programs'; }
check "--status --json is JSON" status_is_json
check "--history shows the upgrade" gw sh -c "updaterd --history | grep -q confirmed"
check "anybody may ask for the status" gw setpriv --reuid=nobody --regid=nogroup --clear-groups updaterd --status
# as USER COMMAND...: the exit code, alone on standard output.
as() {
  local status=0
  gw setpriv --reuid="$1" --regid=nogroup --clear-groups "${@:2}" >/dev/null 2>&1 || status=$?
  echo "$status"
}
equal "nobody else may roll back" 77 "$(as nobody updaterd --rollback B)"
equal "not even the agent, should it be taken over" 77 "$(as updaterd updaterd --rollback B)"
equal "nobody else may run a cycle" 77 "$(as nobody updaterd)"
equal "nobody else may lift a quarantine" 77 "$(as nobody updaterd --clear-quarantine "$NEW")"
equal "current is untouched by all that" "releases/$NEW" "$(current_of bmsd)"

# A person rolls back; the next run does not bring the same version again.
check "--rollback" gw updaterd --rollback B
equal "the previous version is current again" releases/B202108010001 "$(current_of bmsd)"
equal "and runs" B202108010001 \
  "$(running_version)"
check "the roll back is archived" within 5 archived '.reason == "operator"' 
check "the next run exits 0" gw updaterd
equal "and does not bring back what a person rolled back" releases/B202108010001 "$(current_of bmsd)"
check "--check does not name it either" test -z "$(gw updaterd --check 2>/dev/null)"
check "until a person says so" gw updaterd --clear-quarantine "$NEW"
check "the run after that exits 0" gw updaterd
equal "and brings it back" "releases/$NEW" "$(current_of bmsd)"

json_lines() { gw updaterd "$@" --json | jq -es 'length > 0 and all(.[]; type == "object")'; }
check "--history --json is JSON lines" json_lines --history
check "--reasons --json is JSON lines" json_lines --reasons
check "--version --json is JSON lines" json_lines --version
check "a cycle with --json is JSON lines" json_lines

# From a stick, without network: the same checks, the same transaction.
NEXT=B202109020001
publish_b "$NEXT" "$(tree_b "$NEXT")"
site_down
mkdir -p "$GW_ROOT/mnt/stick"
cp -a "$SITE/repo/repository/." "$GW_ROOT/mnt/stick/"
chmod 0700 "$GW_ROOT/mnt/stick"
check "--install from a stick" gw updaterd --install /mnt/stick
equal "the stick's version is current" "releases/$NEXT" "$(current_of bmsd)"
status=0
gw updaterd >/dev/null 2>&1 || status=$?
equal "a run without the server is a temporary failure" 75 "$status"
queryd_up
check "the result is delivered when the server is back" gw updaterd
equal "and archived once" 1 "$(results | jq "[.[] | select(.to == \"$NEXT\")] | length")"

finish
