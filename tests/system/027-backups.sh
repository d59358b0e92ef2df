#!/bin/bash
# Backups on the server: what was never published is brought there, what was need not be; and the way back
# where the kept release is damaged, its backup, too, and where the server is gone.
. "$(dirname "$0")/lib.sh"

V0=B202108010001 V1=B202109010001 V2=B202109020001 V3=B202109030001
GW_SETTLE_SEC=0
FILES=$SITE/backups/files

site_up
gateway_up

run() { # WHAT [EXIT-CODE [ARGUMENTS...]]
  local status=0
  gw updaterd "${@:3}" >"$RUN/run.log" 2>&1 || status=$?
  equal "$1: exit code" "${2:-0}" "$status"
}
log_says() { grep -q -- "$1" "$RUN/run.log"; }
state_of() { queryctl --json backups list | jq -r ".backups[] | select(.version == \"$1\") | .state"; }
where() { gw updaterd --status --json | jq -r ".programs.B.backups.$1 // \"nowhere\""; }
files() { find "$FILES" -type f | wc -l; }
damage() { gw sh -c "cd /opt/bmsd/releases/$1/bin && chmod u+w . bmsd && echo damaged >bmsd"; } # VERSION
lose_backup() { gw rm "/opt/bmsd/backups/$1.tar.xz"; }
tar_of() { sha256sum | cut -d' ' -f1; }

# ---- what came with the package was never published --------------------------------------------

publish_b "$V1" "$(tree_b "$V1")"
run "the first upgrade"
equal "the new version is current" "releases/$V1" "$(current_of bmsd)"
equal "the backup of the factory release is on the server" held "$(state_of "$V0")"
equal "in bytes that were brought there" 1 "$(files)"
check "by parts: the log of queryd has its arrival" grep -q 'has come' "$SITE/queryd.log"
check "the operator gets it" queryctl backups get "$V0" "imei:$IMEI" "$RUN/factory.tar.xz"
equal "and it is what the gateway had" "$(gw cut -c 1-64 "/opt/bmsd/backups/$V0.sha256")" \
  "$(xz -dc "$RUN/factory.tar.xz" | tar_of)"
equal "--status knows where it is" both "$(where "$V0")"
gw updaterd --status >"$RUN/run.log"
check "and tells people" log_says "backup of $V0: here and on the server"

# Neither the release nor its backup is left here.
damage "$V0"
lose_backup "$V0"
run "back to what only the server has" 0 --rollback B
equal "the factory release is current" "releases/$V0" "$(current_of bmsd)"
equal "and runs" "$V0" "$(running_version)"
check "the log says where it came from" log_says "fetching it from the server"
equal "its backup is here again" both "$(where "$V0")"

# ---- what was published ------------------------------------------------------------------------

gw updaterd --clear-quarantine "$V1" 2>/dev/null
run "the upgrade again"
equal "it is current again" "releases/$V1" "$(current_of bmsd)"
publish_b "$V2" "$(tree_b "$V2")"
run "the next upgrade"
equal "the next version is current" "releases/$V2" "$(current_of bmsd)"
equal "the backup of a published release is there by reference" repository "$(state_of "$V1")"
equal "nothing was brought for it" 1 "$(files)"
equal "the gateway knows" both "$(where "$V1")"

damage "$V1"
run "back to a damaged release" 0 --rollback B
equal "its backup brought it back" "releases/$V1" "$(current_of bmsd)"
equal "and it runs" "$V1" "$(running_version)"
check "without the server" bash -c "! grep -q 'fetching it' '$RUN/run.log'"

# ---- the server goes away in the middle --------------------------------------------------------

publish_b "$V3" "$(tree_b "$V3")"
(
  within 20 gw test -d "/opt/bmsd/releases/$V3"
  kill -KILL "${SITE_PIDS[-1]}"
) &
killer=$!
began=$SECONDS
run "an upgrade whose server is killed"
wait "$killer" || true
equal "it goes on" "releases/$V3" "$(current_of bmsd)"
check "without delay" test $((SECONDS - began)) -lt 15
equal "and runs" "$V3" "$(running_version)"
unset 'SITE_PIDS[-1]'
rm "$SITE/queryd.sock"
queryd_up
run "the next run"
check "brings the result" archived ".to == \"$V3\" and .outcome == \"confirmed\""

# ---- back with what is signed ------------------------------------------------------------------

damage "$V1"
lose_backup "$V1"
run "back to what is damaged twice" 0 --rollback B
equal "the signed file brought it back" "releases/$V1" "$(current_of bmsd)"
equal "and it runs" "$V1" "$(running_version)"
check "the log says so" log_says "fetching it from the server"
equal "as a roll back of a person" rollback/confirmed/operator \
  "$(gw updaterd --history 1 --json | jq -r '.kind + "/" + .outcome + "/" + .reason')"
equal "no stage is left" "" "$(gw sh -c 'ls -A /opt/bmsd/releases | grep stage || true')"

finish
