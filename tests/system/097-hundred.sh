#!/bin/bash
# Upgrades in a row, A, B, A, B ... and what they leave behind: nothing more after the last than after the first few.
# HUNDRED=100 is the whole of it (`make check-hundred`); without it a sample.
. "$(dirname "$0")/lib.sh"

N=${HUNDRED:-6}
EARLY=$((N > 10 ? 10 : 4)) # both programs have a previous release by then, and a backup
GW_SETTLE_SEC=0
site_up
gateway_up

# tree_next LETTER VERSION: the program with another version in it, which is as long as the first.
tree_next() {
  local name=updaterd old=A202108010001 dir=$RUN/trees/$2
  if [[ $1 == B ]]; then name=bmsd old=B202108010001; fi
  mkdir -p "$dir/bin"
  sed "s/$old/$2/g" "$GW_ROOT/usr/lib/$name/factory/bin/$name" >"$dir/bin/$name"
  chmod 0755 "$dir/bin/$name"
  echo "$dir"
}
b_pid() { gw systemctl show -p MainPID --value bmsd.service; }

# What an upgrade might forget to take away.
files() {
  gw find /opt /var/lib/updaterd /var/lib/bmsd /tmp /var/tmp /run -xdev -type f \
    ! -path '/run/log/*' ! -path '/run/systemd/*' ! -path '/run/udev/*' "$@"
}
# Without what is another one each time.
names() {
  files -printf '%p\n' | sed 's/[AB]20[0-9]\{10\}/V/g; s/[0-9a-f]\{8\}-[0-9a-f-]\{27\}/TXID/g; s/systemd-private-[^/]*/PRIVATE/' | sort
}
# The metadata grows with the repository, which keeps all releases here; the history has a bound of its own.
METADATA=(-path '/var/lib/updaterd/agent/metadata/*' -o -path '/var/lib/updaterd/installer/trust/*')
kbytes() { files "$@" -printf '%k\n' | awk '{ n += $1 } END { print n + 0 }'; }
leftover_kbytes() { kbytes ! \( "${METADATA[@]}" -o -name 'history*' \); }
units() { gw systemctl list-units --all --plain --no-legend | awk '{ print $1 }' | sort; }

gw busctl monitor --json=short --match \
  "type='signal',interface='org.freedesktop.DBus.Properties'" >"$RUN/samples.json" 2>/dev/null &
monitor=$!

moved=0 wrong=0 began=$SECONDS
b_was=$(b_pid)
for ((i = 1; i <= N; i++)); do
  letter=$([[ $((i % 2)) == 1 ]] && echo A || echo B)
  space=$([[ $letter == A ]] && echo updaterd || echo bmsd)
  version=$(printf '%s20220101%04d' "$letter" "$i")
  release add --program "$letter" --version "$version" --arch "$ARCH" "$(tree_next "$letter" "$version")"
  release publish
  sleep 1.1
  status=0
  gw updaterd >"$RUN/run.log" 2>&1 || status=$?
  if [[ $status != 0 || $(current_of "$space") != "releases/$version" ]]; then
    not_ok "upgrade $i: $version (exit $status)"
    sed 's/^/    | /' "$RUN/run.log" | tail -n 20
    wrong=$((wrong + 1))
    ((wrong < 3)) || break
  fi
  if [[ $letter == A && $(b_pid) != "$b_was" ]]; then moved=$((moved + 1)); fi
  b_was=$(b_pid)
  rm -rf "$RUN/trees/$version"
  if ((i == EARLY)); then names >"$RUN/names.early" && units >"$RUN/units.early" && early_kbytes=$(leftover_kbytes); fi
done
sleep 2
end_pid "$monitor"
names >"$RUN/names" && units >"$RUN/units" && late_kbytes=$(leftover_kbytes)
echo "        $N upgrades in $((SECONDS - began)) s; $early_kbytes KB after $EARLY of them, $late_kbytes KB in the end;" \
  "beside it $(kbytes \( "${METADATA[@]}" \)) KB of the repository's metadata and $(kbytes -name 'history*') KB of history"

equal "all $N were confirmed, and archived once each" "$N confirmed, $N" \
  "$(results | jq -r '([.[] | select(.outcome == "confirmed")] | length | tostring) + " confirmed, " + (map(.to) | unique | length | tostring)')"
equal "B was not restarted by any upgrade of A" 0 "$moved"
gap=$(jq -s '[.[] | select(.path | startswith("/org/bmsgateway/Battery1/")) | ."timestamp-realtime"]
  | sort | [.[1:], .[:-1]] | transpose | map(.[0] - .[1]) | max / 1000 | floor' "$RUN/samples.json")
check "B was never without a sample for 5 s (longest: $gap ms)" test "$gap" -lt 5000
check "nor down for 5 s" test "$(results | jq '[.[].downtime_ms] | max')" -lt 5000

for space in updaterd bmsd; do
  equal "/opt/$space has two releases" 2 "$(gw sh -c "ls -A /opt/$space/releases | wc -l")"
  equal "and one backup, of the one before" "$(gw readlink "/opt/$space/previous" | cut -d/ -f2)" \
    "$(gw sh -c "ls -A /opt/$space/backups" | sed 's/\..*//' | sort -u)"
done
# The newer of the two slots says; a slot begins with its format and its sequence.
# shellcheck disable=SC2016 # for the gateway's shell
state=$(gw sh -c 'cd /var/lib/updaterd/installer && for slot in journal.?; do
  echo "$(head -n 1 $slot | cut -d" " -f3) $(grep -axm 1 "state=.*" $slot)"
done' | sort | tail -n 1 | cut -d' ' -f2)
check "the journal is at rest ($state)" grep -qxE 'state=(idle|confirmed)' <<<"$state"
for place in agent/inbox agent/outbox installer/results; do
  equal "$place is empty" "" "$(gw sh -c "find /var/lib/updaterd/$place -type f 2>/dev/null")"
done
equal "no unit has failed" "" "$(gw systemctl list-units --failed --plain --no-legend)"
check "no unit is left that was not there after $EARLY" diff "$RUN/units.early" "$RUN/units"
check "no file is left that was not there after $EARLY" diff "$RUN/names.early" "$RUN/names"
check "and the disk is no fuller ($early_kbytes KB, $late_kbytes KB)" test "$late_kbytes" -le $((early_kbytes + 64))
finish
