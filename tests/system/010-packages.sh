#!/bin/bash
# The packages: install, upgrade, remove, purge on a booted gateway; what runs is never stopped by
# dpkg, and a purge leaves nothing.
. "$(dirname "$0")/lib.sh"

site_up
GW_MISSED_TIMER=yes
gateway_up

equal "a fresh installation adopts the factory release of B" releases/B202108010001 "$(current_of bmsd)"
equal "a fresh installation adopts the factory release of A" releases/A202108010001 "$(current_of updaterd)"
check "bmsd runs" within 10 gw systemctl is-active bmsd.service
check "the timer waits for midnight" gw systemctl is-active updaterd.timer
equal "the timer's calendar" "*-*-* 00:00:00" \
  "$(gw systemctl show -p TimersCalendar updaterd.timer | sed -n 's/.*OnCalendar=\(.*\) ; next.*/\1/p')"
manager_usec() { # OBJECT INTERFACE PROPERTY
  gw busctl --json=short get-property org.freedesktop.systemd1 "/org/freedesktop/systemd1$1" "org.freedesktop.systemd1.$2" "$3" |
    jq .data
}
timer_usec() { manager_usec /unit/updaterd_2etimer Timer "$1"; }
usec=$(timer_usec NextElapseUSecRealtime)
# shellcheck disable=SC2016 # for the shell in the gateway
midnight=$(gw sh -c 'date -d "$(date -d "@$1" +%F)" +%s' sh $((usec / 1000000)))
delay_usec=$((usec - midnight * 1000000))
echo "        this gateway asks $((delay_usec / 1000000)) s after midnight"
check "it asks within the hour, and not when the whole fleet would" test "$delay_usec" -gt 0 -a "$delay_usec" -lt 3600000000
gw systemctl daemon-reload
equal "a reload of systemd draws no other time" "$usec" "$(timer_usec NextElapseUSecRealtime)"
gw systemctl restart updaterd.timer
equal "nor does a restart" "$usec" "$(timer_usec NextElapseUSecRealtime)"
# Off at midnight, it does not wait for the next one; the delay counts from the boot then, and may be over.
missed() {
  gw systemctl stop updaterd.timer
  gw touch -d "$1" /var/lib/systemd/timers/stamp-updaterd.timer
  gw systemctl start updaterd.timer
}
made_up_for() {
  local booted_usec
  booted_usec=$(manager_usec '' Manager UserspaceTimestamp)
  (($(timer_usec LastTriggerUSec) > booted_usec ||
    ($(timer_usec NextElapseUSecRealtime) - booted_usec - delay_usec) / 1000000 == 0))
}
missed '2 days ago'
check "a midnight that was missed is made up for" made_up_for
missed now

# What makes up for a night that was missed altogether: soon, and later again; it comes and goes with the timer.
looks() { gw systemctl is-active updaterd-missed.timer; }
looks_not() { ! looks; }
check "whether a night was missed is looked at soon" looks
missed_usec() { manager_usec "/unit/updaterd_2dmissed_2etimer" "$@"; }
after_start_usec() { echo $(($(missed_usec Timer NextElapseUSecMonotonic) - $(missed_usec Unit InactiveExitTimestampMonotonic))); }
soon_usec=$(after_start_usec)
echo "        this gateway looks $((soon_usec / 1000000)) s after the boot"
check "not when a whole town would" test "$soon_usec" -gt 180000000 -a "$soon_usec" -lt 600000000
gw systemctl restart updaterd.timer
again_usec=$(after_start_usec)
check "nor at another time after each boot" test $((again_usec - soon_usec)) -gt -1000000 -a $((again_usec - soon_usec)) -lt 1000000
equal "and every six hours" 21600000000 "$(missed_usec Timer TimersMonotonic | jq '.[] | select(.[0] == "OnUnitInactiveUSec") | .[1]')"
gw systemctl disable --now updaterd.timer
check "who disables the timer has disabled both" looks_not
gw systemctl enable --now updaterd.timer
check "and enables both" looks
gw systemctl stop updaterd-missed.timer
gw systemctl mask updaterd-missed.timer
gw systemctl restart updaterd.timer
check "who stops and masks the second keeps the first" gw systemctl is-active updaterd.timer
check "alone" looks_not
equal "and nothing that failed" "" "$(gw systemctl list-units --failed --plain --no-legend)"
gw systemctl unmask updaterd-missed.timer
gw systemctl restart updaterd.timer
check "until it is unmasked" looks

# Exposure as systemd counts it, in tenths; the services as they are installed.
exposure() { gw systemd-analyze security --no-pager "$1" | sed -n 's/.*exposure level for .*: \([0-9]*\)\.\([0-9]\).*/\1\2/p'; }
for unit in bmsd.service bmsd-mqtt.service updaterd-missed.service; do
  tenths=$(exposure "$unit")
  echo "# systemd-analyze security $unit: $((10#${tenths:-99} / 10)).$((10#${tenths:-99} % 10))"
  check "$unit is exposed 1.5 at most" test "$((10#${tenths:-99}))" -le 15
done
metrics() { curl -sS --max-time 5 --unix-socket "/proc/$GW_LEADER/root/run/bmsd-metrics.sock" http://localhost/metrics; }
check "metrics are served in the sandbox" bash -c "$(declare -f metrics); GW_LEADER=$GW_LEADER; metrics | grep -q '^bmsd_build_info'"
equal "for root and the group bmsd alone" "root bmsd 660" "$(gw stat -c '%U %G %a' /run/bmsd-metrics.sock)"
check "MQTT is off by default" gw sh -c '! systemctl is-enabled bmsd-mqtt.service'
# The bus learns who may be bmsd when dpkg has ended; bmsd asks it again every three seconds.
check "bmsd is on the bus" within 15 gw bmsd --status
check "root may have all written" gw bmsd --quiesce
may_not() { ! gw runuser -u updaterd -- bmsd "$@" && gw runuser -u updaterd -- bmsd --status; }
check "others may read, and not command" may_not --quiesce
check "nor switch" may_not --set-fet charge=off --reason test --lease 1m
no_owner() { ! gw dpkg -S /opt/bmsd/current && ! gw dpkg -S /opt/updaterd/current; }
check "no package owns current" no_owner
check "the programs are on the path" gw sh -c 'updaterd --version && bmsd --version'
# shellcheck disable=SC2016 # for the shell and the dpkg-query in the gateway to expand
check "configuration files are conffiles" gw sh -c \
  'dpkg-query -W -f "\${Conffiles}" updaterd bmsd | grep -q /etc/updaterd/updaterd.conf'
check "the manual is installed" gw sh -c 'test -s /usr/share/man/man8/updaterd.8.gz || dpkg -L updaterd | grep -q man8/updaterd.8'
check "no file of a space is writable by the programs' users" gw sh -c \
  '! find /opt/bmsd /opt/updaterd \( ! -user root -o -perm /022 -a ! -type l \) | grep .'

# The release tool's timer, on a repository whose metadata is past half of its life.
renewal=$(systemd-escape --path --template bms-release-renew@.service /srv/site-a)
cp "$DEB"/bms-release_*.deb "$GW_ROOT/root/"
echo 'correct horse battery staple' >"$GW_ROOT/srv/passphrase"
old_site() {
  gw dpkg -i "/root/$(basename "$DEB"/bms-release_*.deb)" && gw install -d -o bms-release /srv/site-a || return 1
  local verb
  for verb in "init --programs A --passphrase-file /srv/passphrase" publish; do
    # shellcheck disable=SC2086 # words
    gw runuser -u bms-release -- bms-release $verb --repo /srv/site-a --time $(($(date +%s) - 20 * 86400)) || return 1
  done
}
check "a repository of the package's own user" old_site
check "nothing renews it unless it is enabled" test -z "$(gw systemctl list-timers --all --no-legend 'bms-release*')"
check "its renewal runs in its sandbox" gw systemctl start "$renewal"
equal "and renews" 2 "$(jq .signed.version "$GW_ROOT/srv/site-a/repository/metadata/timestamp.json")"
check "every day, if enabled" gw systemctl enable --now "${renewal%.service}.timer"
check "its timer waits" gw systemctl is-active "${renewal%.service}.timer"

# An upgrade of the packages, while a newer release than the packages' runs.
pid=$(gw systemctl show -p MainPID --value bmsd.service)
for deb in updaterd bmsd; do
  mkdir -p "$RUN/repack/$deb"
  dpkg-deb -R "$DEB/${deb}"_*.deb "$RUN/repack/$deb"
  sed -i 's/^Version: .*/Version: 9.9.9/' "$RUN/repack/$deb/DEBIAN/control"
  dpkg-deb -b --root-owner-group "$RUN/repack/$deb" "$GW_ROOT/root/$deb-new.deb" >/dev/null
done
gw systemctl stop updaterd-missed.timer # as if the packages had not had it
check "the packages upgrade" gw sh -c 'dpkg --force-confold -i /root/*-new.deb'
equal "an upgrade of the packages does not stop bmsd" "$pid" \
  "$(gw systemctl show -p MainPID --value bmsd.service)"
check "an upgrade of the packages starts a timer that is new" looks
equal "an upgrade of the packages leaves current alone" releases/B202108010001 "$(current_of bmsd)"

# While an upgrade is under way, as its lock says.
gw touch /run/held
gw flock /var/lib/updaterd/installer/lock sh -c 'while [ -e /run/held ]; do sleep 0.1; done' &
holder=$!
is_held() { ! gw flock -n /var/lib/updaterd/installer/lock true; }
within 5 is_held
exits() { # CODE COMMAND...
  local code=$1 status=0
  shift
  "$@" >"$RUN/run.log" 2>&1 || status=$?
  ((status == code))
}
check "--disown does not wait" exits 75 gw updaterd --disown B
equal "and says why" "updaterd: an upgrade is under way; try again when it has ended" "$(<"$RUN/run.log")"
check "--adopt goes without" exits 0 gw updaterd --adopt B
equal "and speaks of no error" "updaterd: 'B202108010001' runs; the factory release is not copied now" "$(<"$RUN/run.log")"
check "a purge takes nothing away from under it" exits 1 gw dpkg --purge bmsd
check "and leaves the space" gw test -L /opt/bmsd/current
gw rm /run/held
wait "$holder"

check "the packages are removed" gw dpkg --remove bmsd updaterd
gone() { ! gw systemctl is-active bmsd.service; }
check "bmsd is stopped by its removal" gone
check "no timer is left by its removal" test -z "$(gw systemctl list-timers --no-legend 'updaterd*')"
check "a removal keeps the state" gw test -d /var/lib/bmsd
check "the packages are purged" gw dpkg --purge bmsd updaterd
# shellcheck disable=SC2016
leftovers() {
  gw sh -c 'for d in /opt/bmsd /opt/updaterd /var/lib/bmsd /var/lib/updaterd /usr/lib/bmsd \
    /usr/lib/updaterd /etc/updaterd /etc/bmsd; do [ ! -e $d ] || find $d; done; \
    find /etc/systemd /usr/share/dbus-1 /run/systemd/system \( -name "*updaterd*" -o -name "bmsd*" \) 2>/dev/null'
}
# What the test itself put into /etc is not the packages' to remove.
gw rm -rf /etc/updaterd/ca.pem /etc/updaterd/root.json /etc/systemd/system/bmsd.service.d
gw sh -c 'rmdir /etc/updaterd /etc/bmsd 2>/dev/null || true'
equal "a purge leaves nothing" "" "$(leftovers)"
check "and the packages install again" gw sh -c 'dpkg -i /root/updaterd_*.deb /root/bmsd_*.deb'

finish
