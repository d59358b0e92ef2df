#!/bin/bash
# The attacks that the TUF specification names, at least five variants each (tests/lib/hostile_repo.h),
# against a real gateway: what the server and the wire can do to the agent, and what an agent that was
# taken over can do to the installer. After each of them B runs as if nothing had been.
. "$(dirname "$0")/lib.sh"

OLD=B202108010001 NEW=B202109010001
GW_SETTLE_SEC=0
# As little patience as the configuration allows for.
GW_NETWORK='connect_timeout_sec = 5
request_timeout_sec = 5
low_speed_sec = 5
low_speed_bytes_per_sec = 100
fetch_timeout_sec = 60'
GW_ATTEMPTS=2
SITE_SERVE=no
HOSTILE=https://files.bms.test:9443
SITE_FILES=$HOSTILE/now
STATES=$RUN/states

# ---- the site ----------------------------------------------------------------------------------

newest_b() { find "$SITE/repo/repository/metadata" -name '*.B.json' | sort -V | tail -n 1; }
# The program file is a true one; who signs for it is a repository whose keys the catalogue has.
states_up() {
  netns_up
  mkdir -p "$SITE"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
    -subj '/CN=CA of this test site' -keyout "$SITE/ca.key" -out "$SITE/ca.pem" 2>/dev/null
  certificate query query.bms.test
  certificate files files.bms.test
  echo 'correct horse battery staple' >"$SITE/passphrase"
  release init --programs A,B --passphrase-file "$SITE/passphrase"
  release add --program B --version "$NEW" --arch "$ARCH" "$(tree_b "$NEW")"
  release publish
  make "${MAKEARGS[@]}" V= build/normal/test/bin/hostile-repo >/dev/null
  jq .signed.targets "$(newest_b)" >"$SITE/targets.json"
  "$TOP/build/normal/test/bin/hostile-repo" --all "$STATES" "$SITE/targets.json"
  mv "$SITE/repo/repository/targets" "$STATES/targets"
  rm -rf "$SITE/repo/repository"
  ln -s "$STATES/honest" "$SITE/repo/repository"
}
# They are where the gateway sees them too, for the agent that is taken over.
states_into_gateway() {
  mv "$STATES" "$GW_ROOT/srv/attacks"
  STATES=$GW_ROOT/srv/attacks
  mkdir "$STATES/fresh"
  cp -r "$STATES/trusted/metadata" "$STATES/trusted/faults" "$STATES/fresh"
  mkdir "$STATES/fresh/trusted"
  chmod -R a+rX "$STATES"
  ln -sfn "$STATES/honest" "$SITE/repo/repository"
  ip netns exec "$NETNS" python3 "$TOP/tests/system/hostile-site.py" "$SITE/files.pem" "$SITE/files.key" \
    127.0.0.1 9443 "$STATES" "$STATES/targets" "$SITE/queryd.sock" 2>"$SITE/hostile-site.log" &
  SITE_PIDS+=($!)
}

states_up
gateway_up
states_into_gateway
queryd_up
sed -i 's/^network_type = .*/network_type = ethernet/; s/^identity_type = .*/identity_type = name/' \
  "$GW_ROOT/etc/updaterd/updaterd.conf"
mkdir -p "$GW_ROOT/etc/systemd/system/updaterd.service.d"
printf '[Unit]\nStartLimitIntervalSec=0\n' >"$GW_ROOT/etc/systemd/system/updaterd.service.d/often.conf"
install -m 0755 "$TOP/tests/system/attack" "$GW_ROOT/usr/local/bin/attack"
cc -o "$GW_ROOT/usr/local/bin/handover" "$TOP/tests/system/handover.c" -lsystemd
gw systemctl daemon-reload
check "B runs" within 15 gw bmsd --status

# ---- what must be true of each -----------------------------------------------------------------

declare -A ATTACK WHAT REASON AT_INSTALLER SAYS KEPT TARGET FLAGS
IDS=()
while IFS='|' read -r id attack what reason at_installer says kept target flags; do
  IDS+=("$id")
  ATTACK[$id]=$attack WHAT[$id]=$what REASON[$id]=$reason AT_INSTALLER[$id]=$at_installer
  SAYS[$id]=$says KEPT[$id]=$kept TARGET[$id]=$target FLAGS[$id]=$flags
done <"$STATES/list"

# What was changed of the trusted metadata is only what was signed as it should be: KEPT CHANGED...
only_kept() {
  local kept=" $1 " name
  shift
  [[ $kept != ' * ' ]] || return 0
  for name in "$@"; do [[ $kept == *" $name "* ]] || return 1; done
}
# The verdict on $id: WHO REASON ARCHIVED LOG CURRENT OF-B CHANGED; archived is OUTCOME|REASON|DETAIL
verdict() {
  local who=$1 reason=$2 archived=$3 log=$4 current=$5 of_b=$6 changed=$7 wrong=
  [[ $archived =~ ^(refused|failed)\|$reason\| ]] || wrong+="archived is '$archived'; "
  [[ $reason != "${REASON[$id]}" || $archived == *"${SAYS[$id]}"* ]] ||
    wrong+="it does not say '${SAYS[$id]}'; "
  [[ $log == *"($reason)"* ]] || wrong+="the log is '$log'; "
  [[ $current == "releases/$OLD" ]] || wrong+="CURRENT IS $current; "
  [[ $of_b == "$OF_B" ]] || wrong+="B was restarted ($of_b); "
  # shellcheck disable=SC2086 # names, to be split
  only_kept "${KEPT[$id]}" $changed || wrong+="kept is $changed; "
  if [[ -z $wrong ]]; then
    ok "${ATTACK[$id]}/${WHAT[$id]}: refused by the $who ($reason)"
  else
    not_ok "${ATTACK[$id]}/${WHAT[$id]} ($id): not refused by the $who for $reason: ${wrong%; }"
  fi
}
# The archive, a line each: IDENTITY|TXID|OUTCOME|REASON|DETAIL
archive() {
  results | jq -r '.[] | [(.identity | if type == "object" then .value else sub("^[a-z-]*:"; "") end),
    .txid, .outcome, .reason, (.detail // "" | gsub("[|\n]"; " "))] | join("|")'
}
# The log, a line each: INVOCATION UNIT MESSAGE
journal() {
  gw journalctl --no-pager -o json --output-fields=MESSAGE,_SYSTEMD_INVOCATION_ID,_SYSTEMD_UNIT |
    jq -r 'select(.MESSAGE | type == "string") | "\(._SYSTEMD_INVOCATION_ID) \(._SYSTEMD_UNIT) \(.MESSAGE)"'
}
of_b() { gw sh -c "systemctl show -p MainPID -p NRestarts --value bmsd.service | paste -sd '|'"; }
attack() { gw /usr/local/bin/attack "$@"; }
HONEST_QUERY=https://query.bms.test:8443
OF_B=$(of_b)

# ---- the attacks -------------------------------------------------------------------------------

is_slow() { [[ ${FLAGS[$1]} == *slow* ]]; }
# What takes as long as the gateway's patience is met beside the rest.
for id in "${IDS[@]}"; do
  if is_slow "$id"; then echo "$id|$HOSTILE/q/$id"; fi
done | attack aside

# What is trusted before each attack is what a gateway trusts that has met the honest repository.
attack agent <<<"fresh|$HONEST_QUERY" >/dev/null
METADATA=$GW_ROOT/var/lib/updaterd/agent/metadata
equal "the honest repository is trusted" "" \
  "$(cd "$STATES/trusted/trusted" && for file in [!r]*.json; do cmp "$file" "$METADATA/$file" 2>&1; done)"

for id in "${IDS[@]}"; do
  url=$HONEST_QUERY
  if [[ ${FLAGS[$id]} == *query* ]]; then url=$HOSTILE/q/$id; fi
  if ! is_slow "$id"; then echo "$id|$url"; fi
done | attack agent >"$RUN/agent"
for id in "${IDS[@]}"; do
  if [[ -n ${AT_INSTALLER[$id]} ]]; then echo "$id|${TARGET[$id]}"; fi
done | attack installer >"$RUN/installer"
# The true metadata, and a program file that is not the one that was signed.
HONEST_NEXT=rollback-9
FILES=$STATES/files
mkdir "$FILES"
true_file=$(find "$STATES/targets/B" -name '*.tar.xz')
size=$(stat -c %s "$true_file")
: >"$FILES/empty"
head -c $((size - 1)) "$true_file" >"$FILES/cut"
{ cat "$true_file" && printf x; } >"$FILES/longer"
{ head -c $((size / 2)) "$true_file" && head -c $((size - size / 2)) /dev/zero; } >"$FILES/same-size"
tar -C "$(tree_b "$NEW")" -cJf "$FILES/other-tar" .
for file in empty cut longer other-tar same-size; do
  echo "$HONEST_NEXT|$(jq -r 'keys[] | select(endswith(".tar.xz"))' "$SITE/targets.json")|/srv/attacks/files/$file"
done | attack installer >"$RUN/files"
# The agent takes the installer's results along, 64 at a time.
for _ in 1 2; do attack agent <<<"fresh|$HONEST_QUERY" >/dev/null; done
is_over() { [[ $(gw systemctl show -p SubState --value "$1.service") != running ]]; }
for id in "${IDS[@]}"; do
  if is_slow "$id"; then within 30 is_over "$id"; fi
done

# ---- what came of them -------------------------------------------------------------------------

declare -A BY_IDENTITY BY_TXID LOG
while IFS='|' read -r identity txid rest; do
  BY_IDENTITY[$identity]=$rest
  BY_TXID[$txid]=$rest
done < <(archive)
while read -r invocation unit message; do
  LOG[$invocation]+="$message"$'\n'
  LOG[$unit]+="$message"$'\n'
done < <(journal)
# The installer's line on what is archived: OUTCOME|REASON|DETAIL
installers_line() {
  local reason=${1#*|}
  grep -F -m 1 ": ${1##*|} (${reason%%|*})" <<<"${LOG[updaterd-installer.service]}" || true
}

while IFS='|' read -r id _ invocation current b_pid b_restarts changed; do
  verdict agent "${REASON[$id]}" "${BY_IDENTITY[$id]:-}" "${LOG[$invocation]:-}" "$current" \
    "$b_pid|$b_restarts" "$changed"
done <"$RUN/agent"
while IFS='|' read -r id current b_pid b_restarts changed result; do
  txid=$(jq -r .txid <<<"$result" || true)
  archived=${BY_TXID[${txid:-none}]:-}
  verdict installer "${AT_INSTALLER[$id]}" "$archived" "$(installers_line "$archived")" "$current" \
    "$b_pid|$b_restarts" "$changed"
done <"$RUN/installer"
for id in "${IDS[@]}"; do
  is_slow "$id" || continue
  changed=$(gw /usr/local/bin/attack changes "$id" "/var/lib/updaterd/$id/metadata")
  verdict agent "${REASON[$id]}" "${BY_IDENTITY[$id]:-}" "${LOG[$id.service]:-}" "$(current_of bmsd)" \
    "$(of_b)" "$changed"
done
reasons=(length length length length hash)
while IFS='|' read -r _ current b_pid b_restarts _ result; do
  txid=$(jq -r .txid <<<"$result" || true)
  archived=${BY_TXID[${txid:-none}]:-}
  equal "arbitrary installation/true metadata, another program file: refused by the installer (${reasons[0]})" \
    "refused|${reasons[0]} releases/$OLD $OF_B" "${archived%|*} $current $b_pid|$b_restarts"
  reasons=("${reasons[@]:1}")
done <"$RUN/files"
equal "every variant was met" "${#IDS[@]}" "$(($(wc -l <"$RUN/agent") + $(printf '%s\n' "${FLAGS[@]}" | grep -c slow)))"
equal "by agent and installer, each attempt archived once" "" \
  "$(archive | grep -v '^fresh|' | cut -d '|' -f 2 | sort | uniq -d)"

# ---- and in the end ----------------------------------------------------------------------------

# The worst that stolen online keys can do, to both, and the way out.
attack agent <<<"fast-forward-2|$HONEST_QUERY" >/dev/null
attack installer <<<"fast-forward-2|${TARGET[fast-forward-2]}" >/dev/null
run_on() { # STATE
  ln -sfn "$1" "$STATES/now"
  gw systemctl start updaterd.service
}
refuses() { ! run_on "$1"; }
check "after a fast-forward the next release is not enough" refuses honest
equal "current is the old version" "releases/$OLD" "$(current_of bmsd)"
check "a root with other online keys is" run_on honest-rotated
equal "current is the new version" "releases/$NEW" "$(current_of bmsd)"
equal "B runs as that version" "$NEW" "$(running_version)"
check "the upgrade is archived" archived '.outcome == "confirmed"'

finish
