#!/bin/bash
# An old updater and a new one, and a program that waits for the new one: in one night, where the new one
# cannot come, where one new one follows the other, after a way back to one that knows less, and while the
# machine is meddled with or loses its power in the middle of the trial.
# shellcheck disable=SC2016 # what stands in single quotes is for a shell in the gateway
. "$(dirname "$0")/lib.sh"

GW_SETTLE_SEC=0
GW_PROGRAM_A='probe_timeout_sec = 60
trial_retry_sec = 1
trial_extend_max_sec = 60'
OLD_A=A202108010001 OLD_B=B202108010001
A=('' A202110010001 A202110010002 A202110010003 A202110010004 A202110010005 A202110010006 A202110010007)
B=('' B202110010001 B202110010002)
STATE=/var/lib/updaterd
site_up
gateway_up

versions() { echo "$(current_of updaterd) $(current_of bmsd)" | sed 's#releases/##g'; }
results_of() { results | jq -r "[.[] | select(.to == \"$1\") | \"\(.kind) \(.outcome) \(.reason)\"] | join(\", \")"; }
b_runs_as() { [[ $(gw readlink "/proc/$(gw systemctl show -p MainPID --value bmsd.service)/exe") == "/opt/bmsd/releases/$1/bin/bmsd" ]]; }
night() { # WHAT EXIT-CODE: as the timer has it run
  gw systemctl reset-failed updaterd.service 2>/dev/null || true
  NIGHT=$(date +%s)
  gw systemctl start updaterd.service >/dev/null 2>&1 || true
  equal "$1: exit code" "$2" "$(gw systemctl show -p ExecMainStatus --value updaterd.service)"
}
run() { # WHAT [EXIT-CODE]
  local status=0
  gw updaterd >"$RUN/run.log" 2>&1 || status=$?
  equal "$1: exit code" "${2:-0}" "$status"
}
night_said() { gw journalctl -q -o cat -u updaterd.service --since "@$NIGHT" | grep -q -- "$1"; }
status_says() { gw updaterd --status | grep -q -- "$1"; }
not() { ! "$@"; }
at_rest() { # WHAT
  equal "$1: no proof is left" "" "$(gw sh -c "ls $STATE/installer/proof 2>/dev/null")"
  equal "$1: nor a stage, nor a link" "" "$(gw sh -c 'ls -A /opt/?*/releases /opt/?* | grep "^\.\|\.new\|\.back" || true')"
  equal "$1: the journal is at rest" idle "$(journal get state)"
}
journal() { python3 "$TOP/tests/system/journal.py" "$GW_ROOT$STATE/installer" "$@"; }

# ---- B waits for A -----------------------------------------------------------------------------

publish_a "${A[1]}" "$(tree_a "${A[1]}")"
publish_b "${B[1]}" "$(tree_b "${B[1]}")" --requires "A=${A[1]}"
check "a person holds A" gw updaterd --hold A
night "B needs the new A, which is held" 1
equal "neither comes" "$OLD_A $OLD_B" "$(versions)"
equal "which is no failure of B" "upgrade refused requires" "$(results_of "${B[1]}")"
check "the log says what is missing" night_said "needs ${A[1]} or newer of program A"
check "and that A is held" night_said "'${A[1]}' is offered, but program A is held"
check "--status says so, too" status_says "held"
check "and who waits for whom, and what to do" status_says \
  "   ${B[1]} waits for ${A[1]} or newer of program A, which is held: updaterd --unhold A\$"
equal "in JSON as well" "{\"version\":\"${B[1]}\",\"needs\":\"${A[1]}\",\"why\":\"held\"}" \
  "$(gw updaterd --status --json | jq -c .programs.B.waits)"
check "the person lets it go" gw updaterd --unhold A
night "then both come in one night" 0
equal "both" "${A[1]} ${B[1]}" "$(versions)"
check "and nothing waits" not status_says waits
check "B runs" within 5 b_runs_as "${B[1]}"
equal "A was first" "${A[1]} ${B[1]}" \
  "$(results | jq -r '[.[] | select(.outcome == "confirmed") | .to] | join(" ")')"

check "a person goes back: B" gw updaterd --rollback B
check "and A, whose version is in quarantine so" gw updaterd --rollback A
check "B is wanted again" gw updaterd --clear-quarantine "${B[1]}"
night "B needs an A in quarantine" 1
equal "both are as they were" "$OLD_A $OLD_B" "$(versions)"
check "the log names what is missing" night_said "needs ${A[1]} or newer of program A"
check "--status names the one in quarantine" status_says "quarantined: ${A[1]}"
check "and who waits for it" status_says "${B[1]} waits for ${A[1]} .* quarantined: updaterd --clear-quarantine ${A[1]}\$"
check "A is let in again" gw updaterd --clear-quarantine "${A[1]}"
night "then both come again" 0
equal "both again" "${A[1]} ${B[1]}" "$(versions)"

# ---- one new one after the other ---------------------------------------------------------------

# Each trial waits at its begin (ExecStartPre), or when the new updater has said that all is well
# (ExecStartPost), until it may go on.
gate() {
  gw mkdir -p /etc/systemd/system/updaterd-trial.service.d
  cat >"$GW_ROOT/usr/local/bin/gate" <<'EOT'
#!/bin/sh
echo >>/run/trials
n=$(wc -l </run/trials)
until [ -e "/run/go-$n" ]; do sleep 0.05; done
EOT
  chmod 0755 "$GW_ROOT/usr/local/bin/gate"
  printf '[Service]\n%s=+/usr/local/bin/gate\n' "$1" >"$GW_ROOT/etc/systemd/system/updaterd-trial.service.d/gate.conf"
  gw sh -c 'rm -f /run/trials /run/go-*; systemctl daemon-reload'
}
trial() { [[ $(gw sh -c 'wc -l </run/trials') == "$1" ]]; }
go_on() { gw touch "/run/go-$1"; }
begin() { # N: a run in the background, until its trial is the Nth
  gw sh -c 'updaterd >/root/run.log 2>&1' &
  RUNNER=$!
  check "trial $1" within 20 trial "$1"
}
ended() {
  STATUS=0
  wait "$RUNNER" || STATUS=$?
  gw cat /root/run.log >"$RUN/run.log"
}

gate ExecStartPre
publish_b "${B[2]}" "$(tree_b "${B[2]}")"
publish_a "${A[2]}" "$(tree_a "${A[2]}")"
begin 1
publish_a "${A[3]}" "$(tree_a "${A[3]}")"
go_on 1
check "the new one finds a newer one" within 20 trial 2
publish_a "${A[4]}" "$(tree_a "${A[4]}")"
go_on 2
check "and that one too" within 20 trial 3
go_on 3
ended
equal "the run ends there" "0 ${A[4]} ${B[1]}" "$STATUS $(versions)"
equal "having gone on as another one twice" 2 "$(grep -c 'going on as the new updater' "$RUN/run.log")"
equal "each was tried once" 3 "$(gw sh -c 'wc -l </run/trials')"
at_rest "three in a row"

# ---- back to one that knows less ---------------------------------------------------------------

# What is there is what the newest one has left: of formats that nobody knows yet, with more in them.
TXID=6b1f0c1e-0000-4000-8000-000000000009
last=$(gw tail -n 1 "$STATE/installer/history.jsonl")
echo "$last" | jq -c ".txid = \"$TXID\" | .outcome = \"levitated\" | .altitude = {m: 12}" \
  >>"$GW_ROOT$STATE/installer/history.jsonl"
echo "$last" | jq -c ".txid = \"$TXID\" | .format = 7 | .altitude = {m: 12}" >"$GW_ROOT$STATE/installer/results/$TXID.json"
echo "C /opt/balloon - balloon.service --altitude 12" >>"$GW_ROOT$STATE/installer/programs"
patch=$(basename "$(find "$SITE/repo/repository/targets/B" -name "*.${B[2]}-$ARCH.from-${B[1]}.patch")")
gw mkdir -p "$STATE/agent/inbox"
printf 'bms-fetch 2 of a newer updaterd\n' >"$GW_ROOT$STATE/agent/inbox/${patch%%.*}.map"
echo part >"$GW_ROOT$STATE/agent/inbox/${patch%%.*}.part"
for file in agent/patience agent/quarantined agent/last-trusted installer/trust/last-trusted; do
  echo 'v2 1795305600 of a newer updaterd' >"$GW_ROOT$STATE/$file"
done
for file in agent/outbox/index.v2 agent/metadata/9.quantum.json installer/trust/9.quantum.json installer/ledger; do
  echo 'of a newer updaterd' >"$GW_ROOT$STATE/$file"
done
gw chown -R updaterd: "$STATE/agent"
floor=$(journal get floor_A)
journal future altitude=12 held_C=while-it-rains

check "a person has the rescue program read that" gw updaterd-rescue --rollback A
equal "and goes back" "${A[3]} ${B[1]}" "$(versions)"
check "the older updater, too: --status" status_says "A  updaterd     runs ${A[3]}"
check "and --history" gw updaterd --history
night "and a night" 0
equal "which brings what it would" "${A[3]} ${B[2]}" "$(versions)"
check "B runs" within 5 b_runs_as "${B[2]}"
equal "the one that was left is in quarantine" "${A[4]}" \
  "$(gw updaterd --status --json | jq -r '.programs.A.quarantined | join(" ")')"
equal "what the journal knew is there: floors" "A $floor" "A $(journal get floor_A)"
equal "and what nobody knows" "12 while-it-rains 1" "$(journal get altitude) $(journal get held_C) $(journal get | grep -c '^a line without a sign$')"
check "so is the history" gw grep -q '"levitated".*"altitude":{"m":12}' "$STATE/installer/history.jsonl"
check "the result is archived with all that is in it" archived ".txid == \"$TXID\" and .altitude.m == 12"
check "other files are left alone" gw sh -c "cd $STATE && cat agent/outbox/index.v2 installer/ledger"
at_rest "after a newer one"

# It was cut in a state that this one has no word for.
journal future state=hovering program=B kind=upgrade txid=$TXID "from=${B[1]}" "to=${B[2]}" altitude=13
check "recovery" gw systemctl restart updaterd-recover.service
equal "undoes what it does not understand" "${A[3]} ${B[1]}" "$(versions)"
check "B runs" within 5 b_runs_as "${B[1]}"
waited_in_vain() { gw journalctl -q -o cat -u updaterd-recover.service | grep -q 'was not ready'; }
check "which was not waited for in vain" not waited_in_vain
night "the next night" 0
equal "brings it again" "${B[2]}" "$(current_of bmsd | cut -d/ -f2)"
equal "and carries on what it does not know" 13 "$(journal get altitude)"

# ---- meddled with in the middle of the trial ---------------------------------------------------

b_was=$(gw systemctl show -p MainPID bmsd.service)
b_is_left_alone() { [[ $(gw systemctl show -p MainPID bmsd.service) == "$b_was" ]]; }
gate ExecStartPre
publish_a "${A[5]}" "$(tree_a "${A[5]}")"
begin 1
check "systemd reads its units anew" gw systemctl daemon-reload
check "D-Bus its configuration" gw systemctl reload dbus.service
check "the package is installed again" gw sh -c 'dpkg --force-confold -i /root/updaterd_*.deb >/root/dpkg.log 2>&1'
equal "the trial goes on" "${A[5]} trial" "$(current_of updaterd | cut -d/ -f2) $(journal get state)"
go_on 1
ended
equal "and ends well" "0 upgrade confirmed none" "$STATUS $(results_of "${A[5]}")"
equal "with the new one" "${A[5]} ${B[2]}" "$(versions)"
at_rest "meddled with"

publish_a "${A[6]}" "$(tree_a "${A[6]}")"
begin 2
check "D-Bus is started anew" gw systemctl restart dbus.service
go_on 2
ended
echo "        the run: exit code $STATUS, $(versions)"
rests() { [[ $(journal get state) == idle && $(gw systemctl is-active updaterd-trial.service) == inactive ]]; }
check "the trial comes to an end" within 60 rests
a_is_one() { [[ $(current_of updaterd) =~ (${A[5]}|${A[6]})$ ]] && gw updaterd --status; }
check "with one of the two" a_is_one
gw touch /run/go-{3,4,5,6}
run "the next run"
equal "all is new" "${A[6]} ${B[2]}" "$(versions)"
echo "        $(results_of "${A[6]}")"
at_rest "D-Bus started anew"
check "B was left alone by all that" b_is_left_alone
check "and answers" within 15 gw bmsd --status

# ---- a power cut between the proof and the verdict ---------------------------------------------

gate ExecStartPost
publish_a "${A[7]}" "$(tree_a "${A[7]}")"
begin 1
equal "the proof is there, the verdict is not" "$(journal get txid) trial ${A[7]}" \
  "$(gw head -n 1 $STATE/installer/proof) $(journal get state) $(journal get to)"
power_cut
wait "$RUNNER" || true
rm -r "$GW_ROOT/etc/systemd/system/updaterd-trial.service.d"
gateway_boot
equal "the power is cut: the old one is back" "${A[6]} ${B[2]}" "$(versions)"
check "B runs" within 15 b_runs_as "${B[2]}"
at_rest "after the cut"
run "the next run"
equal "it is archived, once, and then comes" "upgrade rolled_back interrupted, upgrade confirmed none" "$(results_of "${A[7]}")"
equal "the new one" "${A[7]} ${B[2]}" "$(versions)"
at_rest "in the end"

finish
