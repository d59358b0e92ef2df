#!/bin/bash
# What may happen to a gateway: the installer killed during a trial, its files damaged or gone, an
# agent that was taken over. B runs afterwards, and every attempt has one result.
. "$(dirname "$0")/lib.sh"

GW_SETTLE_SEC=6
OLD=B202108010001 NEW=B202109010001
site_up
gateway_up
gw sh -c 'mkdir -p /var/log/journal && journalctl --flush' # for it to outlast a shut-down
publish_b "$NEW" "$(tree_b "$NEW")"

transaction() { gw updaterd --status --json | jq -es ".[0].transaction.step == \"$1\""; }
installer_pid() { gw systemctl show -p MainPID --value updaterd-installer.service; }
# during STEP COMMAND...: a run of the agent, and the command as soon as the installer is at the step.
during() {
  local step=$1 run
  shift
  gw updaterd >"$RUN/run.log" 2>&1 &
  run=$!
  check "the installer comes to the step $step" within 30 transaction "$step"
  "$@"
  STATUS=0
  wait "$run" || STATUS=$?
}
kill_worker() { gw sh -c "kill -KILL \$(pgrep -P $(installer_pid))"; }
kill_installer() { gw kill -KILL "$(installer_pid)"; }
stop_installer() { gw systemctl stop --no-block updaterd-installer.service; }
shut_down() {
  gw systemctl poweroff
  within 30 not_alive "$GW_PID" || end_pid "$GW_PID" KILL
  GW_LEADER='' GW_PID=''
}
# A line of the journal's newer slot.
journal() { # KEY
  gw sh -c "cd /var/lib/updaterd/installer && cat \"\$(grep -a '^bms-journal' journal.? | sort -k3 | tail -n 1 | cut -d: -f1)\"" |
    tr -d '\0' | sed -n "s/^$1=//p"
}
in_order() { # WHAT VERSION
  equal "$1: current" "releases/$2" "$(current_of bmsd)"
  check "$1: B runs" within 15 gw bmsd --status
  equal "$1: as that version" "$2" "$(running_version)"
  equal "$1: nothing is left over" "" "$(gw sh -c 'ls -A /opt/bmsd/releases /opt/bmsd | grep "^\.\|\.new" || true')"
}
count_results() { results | jq "[.[] | select($1)] | length"; }

# ---- killed during a trial ---------------------------------------------------------------------

during probe kill_worker
equal "the worker is killed: the run has failed" 1 "$STATUS"
in_order "the worker is killed" "$OLD"
equal "the worker is killed: archived once, as rolled back" 1 \
  "$(count_results '.outcome == "rolled_back" and .reason == "interrupted"')"

during probe kill_installer
equal "the installer is killed: the run has failed" 1 "$STATUS"
in_order "the installer is killed" "$OLD"
equal "the installer is killed: archived once as well" 2 \
  "$(count_results '.outcome == "rolled_back" and .reason == "interrupted"')"
equal "and nothing else is" 2 "$(results | jq length)"

# The third time would be one too many, if it were counted.
during probe shut_down
gateway_boot
in_order "the machine is shut down" "$OLD"
equal "the machine is shut down: the journal is at rest" idle "$(journal state)"
equal "the release is not to blame" "$NEW:2" "$(journal failures_B)"
said_before() { gw journalctl -q -b -1 -o cat -u updaterd-installer.service | grep -q "$1"; }
check "the log says why" said_before 'the machine was shut down (interrupted)'
check "and does not complain that nothing starts any more" gw sh -c \
  '! journalctl -q -b -1 -o cat -u updaterd-installer.service | grep "after the roll back"'

during probe stop_installer
equal "the installer is told to stop: it ends the attempt first" 0 "$STATUS"
in_order "the installer is told to stop" "$NEW"
equal "and the attempt is archived once" 1 "$(count_results '.outcome == "confirmed"')"
equal "so is the one before the shut-down" 1 "$(count_results '.outcome == "rolled_back" and .reason == "interrupted" and .detail == "the machine was shut down"')"
equal "and nothing else is since then" 4 "$(results | jq length)"
equal "the journal is at rest" idle "$(journal state)"

# ---- damaged or gone ---------------------------------------------------------------------------

at_boot() { gw systemctl restart updaterd-recover.service; }
gw sh -c "cd /opt/bmsd/releases/$NEW/bin && cp bmsd x && chmod u+w x && echo >>x && chmod u-w x && mv x bmsd"
check "the running release is damaged: recovery" at_boot
equal "the one before it is current" "releases/$OLD" "$(current_of bmsd)"
check "the log says what is damaged" gw sh -c "journalctl -u updaterd-recover.service | grep -q 'bin/bmsd'"

gw rm -rf /opt/bmsd
check "the space is gone: recovery" at_boot
check "B starts" gw systemctl restart bmsd.service
in_order "the space is gone" "$OLD"

gw rm -rf /opt/updaterd
check "the updater's own space is gone: recovery" at_boot
equal "the factory release is current" releases/A202108010001 "$(current_of updaterd)"
gw rm -rf /opt/bmsd/backups
# shellcheck disable=SC2016 # for the shell in the gateway to expand
gw sh -c 'for f in a b; do dd if=/dev/urandom of=/var/lib/updaterd/installer/journal.$f bs=4096 count=1 status=none; done; echo rubbish >>/var/lib/updaterd/installer/history.jsonl'
STATUS=0
gw updaterd >"$RUN/run.log" 2>&1 || STATUS=$?
equal "the journal and the history are damaged: the next run upgrades" 0 "$STATUS"
in_order "after all that" "$NEW"

# ---- slow to stop ------------------------------------------------------------------------------

# Longer than ready_timeout_sec=, which is the new one's.
gw sh -c 'printf "[Service]\nExecStop=/bin/sleep 11\nTimeoutStopSec=30\n" >/etc/systemd/system/bmsd.service.d/slow.conf; systemctl daemon-reload'
SLOW=B202109010002
publish_b "$SLOW" "$(tree_b "$SLOW")"
STATUS=0
gw updaterd >"$RUN/run.log" 2>&1 || STATUS=$?
equal "what is slow to stop is upgraded" 0 "$STATUS"
in_order "slow to stop" "$SLOW"
check "the time that it took is no downtime" archived ".to == \"$SLOW\" and .downtime_ms < 5000"
gw sh -c 'rm /etc/systemd/system/bmsd.service.d/slow.conf; systemctl daemon-reload'

# ---- an agent that was taken over --------------------------------------------------------------

NEXT=B202109020001
publish_b "$NEXT" "$(tree_b "$NEXT")"
cc -o "$GW_ROOT/usr/local/bin/handover" "$TOP/tests/system/handover.c" -lsystemd
TARGET=B/$NEXT-$ARCH.tar.xz
DIR=/var/lib/updaterd/agent
handover() { # METADATA PROGRAM TARGET [lengthen]
  gw setpriv --reuid=updaterd --regid=updaterd --clear-groups /usr/local/bin/handover "$1" "$2" "$3" \
    "$(</proc/sys/kernel/random/uuid)" "${@:4}"
}
gw sh -c "cd $DIR && mkfifo fifo && echo x >file && cp /dev/null empty && chown updaterd: fifo file empty"
INVALID=org.freedesktop.DBus.Error.InvalidArgs
equal "a FIFO is no program file" "$INVALID" "$(handover $DIR/metadata $DIR/fifo "$TARGET")"
equal "a device is none" "$INVALID" "$(handover $DIR/metadata /dev/zero "$TARGET")"
equal "a directory is none" "$INVALID" "$(handover $DIR/metadata $DIR "$TARGET")"
equal "a file is no metadata" "$INVALID" "$(handover $DIR/file $DIR/file "$TARGET")"
equal "no path leads out" "$INVALID" "$(handover $DIR/metadata $DIR/file B/../../etc/passwd)"
ended() { ! gw updaterd --status --json | jq -e .transaction; }
for metadata in $DIR /proc/self /sys/kernel /dev; do
  equal "metadata in $metadata: accepted" accepted "$(handover "$metadata" $DIR/file "$TARGET")"
  check "and refused at once" within 5 ended
done

# The true file, with metadata that passes, which grows to a petabyte while it is read.
source=$(find "$SITE/repo/repository/targets/B" -name "*.$NEXT-$ARCH.tar.xz")
mkdir -p "$RUN/metadata"
cp "$SITE"/repo/repository/metadata/{*.root.json,timestamp.json} "$RUN/metadata/"
for role in snapshot targets A B M; do
  newest=$(find "$SITE/repo/repository/metadata" -name "*.$role.json" | sort -V | tail -n 1)
  cp "$newest" "$RUN/metadata/$role.json"
done
cp -r "$RUN/metadata" "$GW_ROOT$DIR/given"
cp "$source" "$GW_ROOT$DIR/file"
gw chown -R updaterd: $DIR/given $DIR/file
equal "a file that grows: accepted" accepted "$(handover $DIR/given $DIR/file "$TARGET" lengthen)"
check "and it comes to an end" within 40 ended
check "a person can still go back" gw updaterd --rollback B
check "B runs" within 15 gw bmsd --status

finish
