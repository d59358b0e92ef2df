#!/bin/bash
# What happens when the updater is what is broken: power cuts with damage done to the links, a trial of
# the updater that is cut, and a gateway on which neither D-Bus nor the agent nor the installer works.
. "$(dirname "$0")/lib.sh"

GW_SETTLE_SEC=1
GW_PROGRAM_A='probe_timeout_sec = 300
trial_retry_sec = 1'
OLD_A=A202108010001 OLD_B=B202108010001 NEW_A=A202109010001 NEW_B=B202109010001
site_up
gateway_up

rescue_said() { gw journalctl -q -o cat -u updaterd-rescue.service | grep -q "$1"; }
rescue_ran_first() {
  local rescued recovered
  rescued=$(gw systemctl show -p ExecMainExitTimestampMonotonic --value updaterd-rescue.service)
  recovered=$(gw systemctl show -p ExecMainStartTimestampMonotonic --value updaterd-recover.service)
  ((rescued > 0 && rescued < recovered))
}
# shellcheck disable=SC2016 # for the shell in the gateway to expand
executable_of_b() { gw sh -c 'readlink /proc/$(systemctl show -p MainPID --value bmsd.service)/exe'; }
b_is() { [[ $(executable_of_b) == "/opt/bmsd/releases/$1/bin/bmsd" ]]; }
results_of() { results | jq -c "[.[] | select(.program == \"$1\" and .to == \"$2\") | [.kind, .outcome, .reason]]"; }
exits() { # CODE COMMAND...
  local code=$1 status=0
  shift
  "$@" || status=$?
  ((status == code))
}
run() {
  STATUS=0
  gw sh -c 'updaterd >/root/run.log 2>&1' || STATUS=$?
  gw cat /root/run.log >"$RUN/run.log"
}

# ---- the program ---------------------------------------------------------------------------------

program=$GW_ROOT/usr/lib/updaterd/updaterd-rescue
static() { ldd "$program" 2>&1 | grep -qE 'not a dynamic executable|statically linked'; }
check "the rescue is no dynamic executable" static
check "it is small" test "$(stat -c %s "$program")" -lt $((1 << 20))
check "it is on the path" gw updaterd-rescue --version
check "it runs at boot" gw systemctl is-enabled updaterd-rescue.service
check "the installer has told it where the spaces are" gw grep -qx \
  "B /opt/bmsd /usr/lib/bmsd/factory bmsd.service" /var/lib/updaterd/installer/programs
check "it finds nothing to do" gw updaterd-rescue
equal "and does nothing" "releases/$OLD_A releases/$OLD_B" "$(current_of updaterd) $(current_of bmsd)"

# ---- damage found at boot --------------------------------------------------------------------------

gw ln -sfn releases/A209901010001 /opt/updaterd/current
power_cut
gateway_boot
equal "A's current dangles at boot: it leads to a release" "releases/$OLD_A" "$(current_of updaterd)"
check "by the rescue" rescue_said "/opt/updaterd/current' leads to '$OLD_A' now"
check "which runs before recovery" rescue_ran_first
check "A runs" gw updaterd --status
check "B runs" within 15 b_is "$OLD_B"

gw rm /opt/bmsd/current
power_cut
gateway_boot
equal "B's current is missing at boot: it is there" "releases/$OLD_B" "$(current_of bmsd)"
check "by the rescue" rescue_said "/opt/bmsd/current' leads to '$OLD_B' now"
check "B runs" within 15 b_is "$OLD_B"

# Without recovery, which would adopt it: a space with nothing in it, and the factory release runs.
gw sh -c 'rm -rf /opt/bmsd; echo "[no such section]" >>/etc/updaterd/updaterd.conf'
power_cut
gateway_boot
equal "B's space is gone and the configuration unusable: the factory release is current" /usr/lib/bmsd/factory \
  "$(current_of bmsd)"
check "and runs" within 15 gw bmsd --status
gw sed -i '/no such section/d' /etc/updaterd/updaterd.conf
check "recovery" gw systemctl restart updaterd-recover.service
equal "adopts it" "releases/$OLD_B" "$(current_of bmsd)"
check "B runs" within 15 gw bmsd --status

# ---- both new ------------------------------------------------------------------------------------

publish_a "$NEW_A" "$(tree_a "$NEW_A")"
publish_b "$NEW_B" "$(tree_b "$NEW_B")"
gw systemctl start updaterd.service || true
equal "A and B are upgraded" "releases/$NEW_A releases/$NEW_B" "$(current_of updaterd) $(current_of bmsd)"

# ---- a trial that is cut ---------------------------------------------------------------------------

HANGS=A202109020001
publish_a "$HANGS" "$(tree_a_wrapped "$HANGS" 'case $* in *--trial*) exec sleep 1000 ;; esac')"
gw sh -c 'updaterd >/root/run.log 2>&1' &
run_pid=$!
on_trial() { gw grep -qax state=trial /var/lib/updaterd/installer/journal.{a,b} && [[ $(current_of updaterd) == "releases/$HANGS" ]]; }
check "a new A is on trial" within 60 on_trial
check "while the installer works, the rescue does nothing" exits 75 gw updaterd-rescue
power_cut
wait "$run_pid" || true
queryctl blacklist add "$HANGS" "imei:$IMEI" >/dev/null
gateway_boot
equal "the power is cut during A's trial: the old A is back" "releases/$NEW_A" "$(current_of updaterd)"
equal "and the one before it is kept" "releases/$OLD_A" "$(gw readlink /opt/updaterd/previous)"
check "by the rescue" rescue_said "the attempt in '/opt/updaterd' is over: '$NEW_A' is back"
check "B runs" within 15 b_is "$NEW_B"
run
equal "the next run" 0 "$STATUS"
equal "archives the attempt, once" '[["upgrade","rolled_back","interrupted"]]' "$(results_of A "$HANGS")"
run
equal "also after another run" '[["upgrade","rolled_back","interrupted"]]' "$(results_of A "$HANGS")"

# ---- D-Bus, agent and installer are broken -----------------------------------------------------------

# shellcheck disable=SC2016 # for the shell in the gateway to expand
gw sh -c 'file=/opt/updaterd/current/bin/updaterd; chmod u+w $file; head -c 4096 /dev/urandom >$file
  systemctl stop dbus.socket dbus.service; systemctl mask dbus.socket dbus.service' >/dev/null 2>&1
no_updater() { ! gw updaterd --status; }
check "the updater is garbage" no_updater
no_bus() { ! gw test -S /run/dbus/system_bus_socket || ! gw busctl list; }
check "there is no bus" no_bus
check "updaterd-rescue --rollback A" gw updaterd-rescue --rollback A
equal "A is the one before" "releases/$OLD_A" "$(current_of updaterd)"
check "and can run" gw updaterd --version
pid=$(gw systemctl show -p MainPID --value bmsd.service)
equal "B was left alone" "releases/$NEW_B" "$(current_of bmsd)"
check "updaterd-rescue --rollback B" gw updaterd-rescue --rollback B
equal "B is the one before" "releases/$OLD_B" "$(current_of bmsd)"
check "and was restarted" within 15 b_is "$OLD_B"
check "as another process" test "$pid" != "$(gw systemctl show -p MainPID --value bmsd.service)"

gw sh -c 'systemctl unmask dbus.socket dbus.service; systemctl start dbus.socket' >/dev/null 2>&1
check "D-Bus is back" within 15 gw busctl list
within 15 gw updaterd --status || true
run
equal "the next run" 0 "$STATUS"
equal "does not install again what was left" "releases/$OLD_A releases/$OLD_B" \
  "$(current_of updaterd) $(current_of bmsd)"
equal "and archives the roll back of A" '[["rollback","confirmed","operator"]]' "$(results_of A "$OLD_A")"
equal "both are in quarantine" "$NEW_A $NEW_B" \
  "$(gw updaterd --status --json | jq -r '[.programs.A.quarantined, .programs.B.quarantined] | add | map(select(. == ("'"$NEW_A"'", "'"$NEW_B"'"))) | join(" ")')"

# ---- an installer that does not let go ---------------------------------------------------------------

gw flock /var/lib/updaterd/installer/lock sleep 1000 &
holder=$!
sleep 0.5
check "the lock is held: nothing is rolled back" exits 75 gw updaterd-rescue --rollback B
kill "$holder" 2>/dev/null || true
gw pkill -x sleep || true

finish
