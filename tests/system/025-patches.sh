#!/bin/bash
# Upgrades by patch, and what the gateway does where a patch is of no use: it is missing on the server, it
# is signed and wrong, or what it starts from is damaged on the disk.
. "$(dirname "$0")/lib.sh"

V0=B202108010001 V1=B202109010001 V2=B202109020001 V3=B202109030001 V4=B202109040001
GW_SETTLE_SEC=1
TARGETS=$SITE/repo/repository/targets/B

site_up
gateway_up

# run WHAT: one run of the agent, that must end well.
run() {
  local status=0
  gw updaterd >"$RUN/run.log" 2>&1 || status=$?
  equal "$1: exit code" "${2:-0}" "$status"
}
result() { results | jq -r "[.[] | select(.to == \"$1\")][-1].$2"; } # VERSION FIELD
file_of() { find "$TARGETS" -name "*.$1"; }                         # NAME
size_of() { stat -c %s "$(file_of "$1")"; }
full_of() { echo "$1-$ARCH.tar.xz"; }
patch_of() { echo "$1-$ARCH.from-$2.patch"; } # TO FROM
log_says() { grep -q -- "$1" "$RUN/run.log"; }

# What came with the package is published as it is, so patches can be made from it.
publish_b "$V0" "$GW_ROOT/usr/lib/bmsd/factory"
publish_b "$V1" "$(tree_b "$V1")"

# ---- it goes well ------------------------------------------------------------------------------

run "by patch"
equal "the new version is current" "releases/$V1" "$(current_of bmsd)"
equal "and runs" "$V1" "$(running_version)"
equal "the result says that it came by patch" patch "$(result "$V1" file)"
full=$(size_of "$(full_of "$V1")") bytes=$(result "$V1" bytes_fetched)
check "with far fewer bytes than the program file has ($bytes of $full)" test $((bytes * 4)) -lt "$full"
check "the backup of the old one is there" gw test -s "/opt/bmsd/backups/$V0.tar.xz"
check "--history shows it" gw sh -c "updaterd --history --json | grep -q '\"file\":\"patch\"'"
equal "nothing is left of the download" "" "$(gw sh -c 'find /var/lib/updaterd/agent/inbox -type f')"
equal "what is installed is what was published" \
  "$(xz -dc "$(file_of "$(full_of "$V1")")" | tar -xO bin/bmsd | sha256sum)" \
  "$(gw cat /opt/bmsd/current/bin/bmsd | sha256sum)"

# ---- a patch that is signed, and wrong ---------------------------------------------------------

release add --program B --version "$V2" --arch "$ARCH" "$(tree_b "$V2")"
"$TOP/tests/system/hostile-patch.py" "$SITE/repo" "B/$(patch_of "$V2" "$V1")"
release publish
sleep 1.1
check "bms-release verify notices" bash -c "! '$BIN/bms-release' verify --repo '$SITE/repo'"
run "a wrong patch"
equal "the full file brings the version all the same" "releases/$V2" "$(current_of bmsd)"
equal "the patch has a result" refused/bad-patch/patch \
  "$(results | jq -r "[.[] | select(.to == \"$V2\")][0] | .outcome + \"/\" + .reason + \"/\" + .file")"
equal "and the full file another" confirmed/full "$(result "$V2" outcome)/$(result "$V2" file)"
equal "there are no more" 2 "$(results | jq "[.[] | select(.to == \"$V2\")] | length")"
check "the log says why" log_says bad-patch
check "B was not stopped for the patch" test "$(results | jq "[.[] | select(.to == \"$V2\")][0].downtime_ms")" = 0

# ---- a release that is damaged on the disk -----------------------------------------------------

# Another file in its place, as long as it was, since one that runs cannot be written to.
damage() {
  gw sh -c "cd /opt/bmsd/current/bin && cp bmsd /opt/bmsd/x && chmod u+w /opt/bmsd/x &&
    printf damaged | dd of=/opt/bmsd/x bs=1 seek=1000 conv=notrunc status=none &&
    chmod 0555 /opt/bmsd/x && mv -f /opt/bmsd/x bmsd"
}
sum_of() { gw sha256sum "/opt/bmsd/releases/$V2/bin/bmsd"; }
good=$(sum_of)
damage
check "the damage is there" test "$(sum_of)" != "$good"
run "repair"
equal "a run without an offer repairs it" "$good" "$(sum_of)"
equal "from and to the same version" "$V2/$V2" "$(result "$V2" from)/$(result "$V2" to)"
equal "as a repair, with the full file" repair/confirmed/full \
  "$(result "$V2" kind)/$(result "$V2" outcome)/$(result "$V2" file)"
check "the log says what is damaged" log_says "is damaged"
equal "current is as it was" "releases/$V2" "$(current_of bmsd)"
equal "previous as well" "releases/$V1" "$(gw readlink /opt/bmsd/previous)"
equal "B runs" "$V2" "$(running_version)"
equal "no stage is left" "" "$(gw sh -c 'ls -A /opt/bmsd/releases | grep stage || true')"
n=$(results | jq length)
run "nothing to repair"
equal "once is enough" "$n" "$(results | jq length)"

# The server does not have what would repair it, so the next version's full file must do.
publish_b "$V3" "$(tree_b "$V3")"
check "there is a patch" test -n "$(file_of "$(patch_of "$V3" "$V2")")"
kept=$(file_of "$(full_of "$V2")")
mv "$kept" "$RUN/kept"
damage
run "no repair" 75 # the file server's 404 may be gone the next time
equal "the new version is current" "releases/$V3" "$(current_of bmsd)"
equal "the full file brought it" confirmed/full "$(result "$V3" outcome)/$(result "$V3" file)"
check "the log says that the base is damaged" log_says "the full file, not the patch from '$V2': $V2 is damaged"
equal "the repair that failed is archived" repair/failed "$(result "$V2" kind)/$(result "$V2" outcome)"
equal "B runs" "$V3" "$(running_version)"
mv "$RUN/kept" "$kept"

# ---- a patch that the server does not have -----------------------------------------------------

publish_b "$V4" "$(tree_b "$V4")"
rm "$(file_of "$(patch_of "$V4" "$V3")")"
run "no patch"
equal "the new version is current" "releases/$V4" "$(current_of bmsd)"
equal "the full file brought it, in one attempt" 1/confirmed/full \
  "$(results | jq "[.[] | select(.to == \"$V4\")] | length")/$(result "$V4" outcome)/$(result "$V4" file)"
check "the log says why" log_says "the patch cannot be had"

finish
