#!/bin/bash
# A gateway whose clock is wrong: at 1970, as without a battery, and ten years ahead. Only the
# programs are deceived, by a preloaded library; the site beside them knows the time.
. "$(dirname "$0")/lib.sh"

GW_SETTLE_SEC=1
OLD=B202108010001 NEW=B202109010001 NEXT=B202109020001 LAST=B202109030001

# clock TIME: the clock that the agent, the installer and gwt see from now on (wrongclock.c); "" is the
# right one.
clock() {
  local unit
  FAKE=()
  if [[ -n $1 ]]; then
    FAKE=(LD_PRELOAD=/usr/local/lib/wrongclock.so "WRONG_CLOCK=$1")
  fi
  for unit in updaterd updaterd-installer; do
    mkdir -p "$GW_ROOT/etc/systemd/system/$unit.service.d"
    {
      echo '[Service]'
      ((${#FAKE[@]} == 0)) || printf 'Environment="%s"\n' "${FAKE[@]}"
    } >"$GW_ROOT/etc/systemd/system/$unit.service.d/clock.conf"
  done
  gw systemctl daemon-reload
  gw systemctl stop updaterd-installer.service
}
# The command line by that clock.
gwt() { gw env "${FAKE[@]}" "$@"; }
exit_code() {
  local status=0
  "$@" >"$RUN/run.log" 2>&1 || status=$?
  echo "$status"
}
agent_said() { gw journalctl --no-pager -u updaterd.service | grep -qE "$1"; }
installer_said() { gw journalctl --no-pager -u updaterd-installer.service | grep -qE "$1"; }
floor_of_b() { gw updaterd --status --json | jq -r .programs.B.floor; }
versions_trusted() { gw sh -c 'cd /var/lib/updaterd/installer/trust && sha256sum root.json timestamp.json snapshot.json'; }

site_up
gateway_up
cc -shared -fPIC -o "$GW_ROOT/usr/local/lib/wrongclock.so" "$TOP/tests/system/wrongclock.c"
publish_b "$NEW" "$(tree_b "$NEW")"

# ---- 1970 --------------------------------------------------------------------------------------

clock @60
equal "the programs believe in 1970" 1970 "$(gwt date +%Y)"
equal "--check at 1970 names the new version" "$NEW" "$(gwt updaterd --check 2>"$RUN/run.log")"
check "and says that the clock is wrong" grep -q 'the clock says 1970-01-01 .* which is wrong' "$RUN/run.log"
gw mkdir -p /etc/systemd/system/updaterd.timer.d
gw sh -c 'printf "[Timer]\nOnCalendar=\nOnCalendar=*:*:0/2\nRandomizedDelaySec=0\n" >/etc/systemd/system/updaterd.timer.d/soon.conf'
gw systemctl daemon-reload
gw systemctl restart updaterd.timer
upgraded() { [[ $(current_of bmsd) == releases/$NEW ]] && archived '.outcome == "confirmed"'; }
check "at 1970 the timer alone brings the new version" within 30 upgraded
gw rm /etc/systemd/system/updaterd.timer.d/soon.conf
gw systemctl daemon-reload
gw systemctl stop updaterd.timer
within 10 bash -c '! nsenter -t '"$GW_LEADER"' --all systemctl is-active -q updaterd.service' || true
equal "and it runs" "$NEW" "$(running_version)"
check "the agent was at 1970, and said so" agent_said 'the clock says 1970-01-01'
check "the result is of a time that has been" archived '.started_sec >= 1627689600 and .started_sec <= now'

# ---- ten years ahead ---------------------------------------------------------------------------

publish_b "$NEXT" "$(tree_b "$NEXT")"
gw updaterd --check >/dev/null
cp -a "$SITE/repo/repository" "$GW_ROOT/mnt/stick"
before=$(versions_trusted) floor=$(floor_of_b)
clock "+$((3650 * 86400))"
equal "--check ten years ahead is a temporary failure" 75 "$(exit_code gwt updaterd --check)"
check "it names the certificate, and the clock as a suspect" \
  grep -qE 'certificate has expired; the clock says 20[0-9-]+ .* days after .*: is it right' "$RUN/run.log"
check "the service does not count as broken" gw systemctl start updaterd.service
check "and the journal says why" agent_said 'certificate has expired.*is it right'
equal "from a stick the metadata has expired" 1 "$(exit_code gwt updaterd --install /mnt/stick --program B)"
check "and that is said with the clock" \
  grep -qE 'json \(version [0-9]+\): expired at .*; the clock says .*is it right.*\(expired\)' "$RUN/run.log"
# The agent may be taken over: the installer judges by itself. An agent at the right time, and it not.
FAKE=()
equal "the installer refuses by its own clock" 1 "$(exit_code gwt updaterd --install /mnt/stick --program B)"
check "and says why in its journal" installer_said 'expired at .*is it right.*\(expired\)'
equal "nothing was installed" "releases/$NEW" "$(current_of bmsd)"
equal "what is trusted is what it was" "$before" "$(versions_trusted)"
equal "the floor is what it was" "$floor" "$(floor_of_b)"
equal "no version is blamed" '[]' "$(gw updaterd --status --json | jq -c '.programs.B.quarantined // []')"

# ---- right again -------------------------------------------------------------------------------

clock ''
check "at the right time the upgrade goes on" gw updaterd
equal "current" "releases/$NEXT" "$(current_of bmsd)"
check "the attempts of the wrong time are archived with their reason" archived \
  '.reason == "expired" and .outcome == "refused" and (.detail | test("is it right")) and .step == "trust"'
check "the installer's as well" archived '.reason == "expired" and .step == "check"'

# ---- from a stick, at 1970 ---------------------------------------------------------------------

publish_b "$LAST" "$(tree_b "$LAST")"
rm -rf "$GW_ROOT/mnt/stick"
cp -a "$SITE/repo/repository" "$GW_ROOT/mnt/stick"
site_down
clock @60
check "--install from a stick at 1970" gwt updaterd --install /mnt/stick
equal "the stick's version is current" "releases/$LAST" "$(current_of bmsd)"
equal "and runs" "$LAST" "$(running_version)"
equal "the release before is kept" "releases/$NEXT" "$(gw readlink /opt/bmsd/previous)"
not_old() { [[ $(current_of bmsd) != "releases/$OLD" ]]; }
check "the factory release is history" not_old

finish
