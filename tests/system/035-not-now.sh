#!/bin/bash
# No upgrade for now: because a person holds the program, or because the program says so, in the end for
# longer than it should. Every run is one as the timer starts it.
. "$(dirname "$0")/lib.sh"

GW_SETTLE_SEC=1
GW_PROGRAMS='postpone_max_sec = 2'
OLD=B202108010001 NEW=B202109010001 NEXT=B202109010002
site_up
gateway_up
publish_b "$NEW" "$(tree_b "$NEW")"

# run: one by the unit of the timer; what it and the installer log meanwhile is in $RUN/run.log.
run() {
  local cursor
  cursor=$(gw journalctl -q -n 0 --show-cursor | sed -n 's/^-- cursor: //p')
  gw systemctl start updaterd.service || true
  STATUS=$(gw systemctl show -p ExecMainStatus --value updaterd.service)
  gw journalctl -q -o json --after-cursor="$cursor" -u updaterd.service -u updaterd-installer.service |
    jq -r 'select(.SYSLOG_IDENTIFIER == "updaterd") | "<\(.PRIORITY)> \(.MESSAGE)"' >"$RUN/run.log"
}
logged() { grep -q "$1" "$RUN/run.log"; }
status_of_b() { gw updaterd --status --json | jq -r ".programs.B.$1"; }
newest() { results | jq -r ".[-1] | \"\\(.to) \\(.outcome) \\(.reason)\""; }
exits() { # CODE COMMAND...
  local code=$1 status=0
  shift
  "$@" || status=$?
  ((status == code))
}

# ---- held --------------------------------------------------------------------------------------

b_was=$(gw systemctl show -p MainPID -p NRestarts bmsd.service)
soon=$(date -u -d '+1 hour' +%s)
check "--hold B --until +1h" gw updaterd --hold B --until +1h
until=$(status_of_b held)
check "--status --json says until when" test "$until" -ge "$soon" -a "$until" -le $((soon + 60))
check "and --status does" gw sh -c 'updaterd --status | grep -q "held until 20"'
run
equal "a run is content with that" 0 "$STATUS"
equal "B is what it was" "releases/$OLD $b_was" "$(current_of bmsd) $(gw systemctl show -p MainPID -p NRestarts bmsd.service)"
check "the journal says why" logged "'$NEW' is offered, but program B is held"
equal "nothing was attempted" 0 "$(results | jq length)"

past() { gw updaterd --hold B --until "$1" >"$RUN/hold.log" 2>&1; }
check "--until in the past is refused" exits 2 past 2021-01-01
check "which is said" grep -q "'2021-01-01' has passed already" "$RUN/hold.log"
equal "and changes nothing" "$until" "$(status_of_b held)"

check "--unhold B" gw updaterd --unhold B
equal "--status --json has no more of it" null "$(status_of_b held)"
run
equal "the next run upgrades" "0 releases/$NEW" "$STATUS $(current_of bmsd)"

publish_b "$NEXT" "$(tree_b "$NEXT")"
end=$(($(date +%s) + 4))
check "--hold B for a moment" gw updaterd --hold B --until "$(date -u -d "@$end" +%FT%TZ)"
run
equal "is a hold" "releases/$NEW" "$(current_of bmsd)"
is_over() { (($(date +%s) > end)); }
within 10 is_over
equal "which ends by itself" null "$(status_of_b held)"
run
equal "and the next run upgrades" "0 releases/$NEXT" "$STATUS $(current_of bmsd)"

# ---- the program says so -----------------------------------------------------------------------

# 350 mA are flowing: this is riding, for a bmsd that is told so.
ride() { # yes|no
  sed -i '/^\[limits\]/,$d' "$GW_ROOT/etc/bmsd/bmsd.conf"
  [[ $1 == no ]] || printf '[limits]\nupdate_current_max_ma = 100\n' >>"$GW_ROOT/etc/bmsd/bmsd.conf"
  gw systemctl restart bmsd.service
  within 15 rides "$1"
}
rides() {
  [[ $(gw busctl --json=short call org.bmsgateway.Battery1 /org/bmsgateway/Battery1 org.bmsgateway.Battery1 Health |
    jq -r '.data[0]' | jq .update_ok) == "$([[ $1 == no ]] && echo true || echo false)" ]]
}
LAST=B202109010003
publish_b "$LAST" "$(tree_b "$LAST")"
check "B is busy" ride yes
run
began=$SECONDS
equal "a run waits for another time" "75 releases/$NEXT" "$STATUS $(current_of bmsd)"
equal "and reports that" "$LAST postponed not-now" "$(newest)"
since=$(status_of_b postponed_since_sec)
check "--status --json says since when" test "$since" -gt 0
check "it is no error yet" exits 1 logged '^<3>'
waited() { ((SECONDS - began > 3)); }
within 10 waited
b_was=$(gw systemctl show -p MainPID -p NRestarts bmsd.service)
run
equal "past the maximum B is still not forced" "releases/$NEXT $b_was" \
  "$(current_of bmsd) $(gw systemctl show -p MainPID -p NRestarts bmsd.service)"
check "but it is an error in the log" logged '^<3>.*asks to wait.*so it has said for .*not-now'
check "and in the result" archived ".to == \"$LAST\" and .reason == \"not-now\" and (.detail | contains(\"so it has said for\"))"
equal "--status still says since when" "$since" "$(status_of_b postponed_since_sec)"
check "also to people" gw sh -c 'updaterd --status | grep -q "not a good time since"'
check "B has time" ride no
run
equal "the next run upgrades" "0 releases/$LAST" "$STATUS $(current_of bmsd)"
equal "and the wait is forgotten" null "$(status_of_b postponed_since_sec)"

finish
