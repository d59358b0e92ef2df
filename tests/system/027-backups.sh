#!/bin/bash
# Backups on the server: what was never published is brought there, what was need not be; and the way back
# where the kept release is damaged, its backup, too, and where the server is gone. First where the server
# alone is to have them, and what a server and an agent can do that are in an attacker's hands.
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

# ---- on the server alone -----------------------------------------------------------------------

configure() { # SED-SCRIPT
  gw sed -i "$1" /etc/updaterd/updaterd.conf
  gw systemctl stop updaterd-installer.service
}
here() { gw sh -c 'cd /opt/bmsd/backups && ls | grep tar.xz || true'; }
told() { # USER VERSION SHA256: what BackupHeld answers
  gw setpriv --reuid="$1" --regid="$1" --clear-groups busctl call org.bmsgateway.Updater1 /org/bmsgateway/Updater1 \
    org.bmsgateway.Updater1 BackupHeld ss "$2" "$3" 2>&1 || true
}

# shellcheck disable=SC2016 # $ is sed's last line
configure '$a [backup]\nwhere = server'
publish_b "$V1" "$(tree_b "$V1")"
run "an upgrade where the server alone has backups"
equal "the new version is current" "releases/$V1" "$(current_of bmsd)"
equal "the server holds the one of the factory release" held "$(state_of "$V0")"
equal "and none is here" "server:" "$(where "$V0"):$(here)"
note=$(gw cut -c 1-64 "/opt/bmsd/backups/$V0.sha256")

# The same but for one byte, and the server says that this is what it was given.
damage "$V0"
impostor() { # [ROW]: puts another file in the place of the backup, and prints what is to be given to undo that
  python3 - "$SITE/queryd.db" "$FILES" "$V0" "$@" <<'EOT'
import hashlib, lzma, os, sqlite3, sys

database, files, version, *row = sys.argv[1:]
columns = "sha256, length_bytes, tar_sha256"
with sqlite3.connect(database) as db:
    there = db.execute(f"SELECT {columns} FROM backups WHERE version = ?", (version,)).fetchone()
    if not row:
        with open(os.path.join(files, there[0]), "rb") as file:
            tar = bytearray(lzma.decompress(file.read()))
        tar[tar.index(b"ELF") + 4000] ^= 1
        other = lzma.compress(tar)
        row = hashlib.sha256(other).hexdigest(), len(other), hashlib.sha256(tar).hexdigest()
        with open(os.path.join(files, row[0]), "wb") as file:
            file.write(other)
    db.execute(f"UPDATE backups SET ({columns}) = (?, ?, ?) WHERE version = ?", (*row, version))
    print(*there)
EOT
}
true_row=$(impostor)
runs_since=$(gw systemctl show -p MainPID bmsd.service)
run "a server that hands out other bytes" 1 --rollback B
check "is refused" log_says "is not the backup of $V0 that was made here"
equal "what ran is current" "releases/$V1" "$(current_of bmsd)"
equal "and runs as before" "$runs_since" "$(gw systemctl show -p MainPID bmsd.service)"
equal "nothing of it is kept" "" "$(here)$(gw sh -c 'ls -A /opt/bmsd/releases | grep stage || true')"
# shellcheck disable=SC2086 # three words
impostor $true_row >/dev/null
run "with the true one" 0 --rollback B
equal "the factory release is current" "releases/$V0" "$(current_of bmsd)"
equal "and runs" "$V0" "$(running_version)"
equal "its backup is here again" "$V0.tar.xz" "$(here)"

# The agent is in an attacker's hands: what it says the server holds.
BUSCTL_SAYS='not the backup\|not a version\|No such file'
for lie in "$V0 ${note//[0-9]/0}" "$V0 $note$note" "$V0 -" "$V1 $note" "B202109990001 $note" "A202108010001 $note" "../../etc $note" "X $note"; do
  # shellcheck disable=SC2086 # two words
  check "a lie about a backup is refused: ${lie:0:30}" grep -q "$BUSCTL_SAYS" <(told updaterd $lie)
done
check "nobody else may say anything of it" grep -q "denied\|ermission" <(told bmsd "$V0" "$note")
equal "the backup stays" "both:$V0.tar.xz" "$(where "$V0"):$(here)"
queryctl backups remove "$V0" "imei:$IMEI" >/dev/null
equal "the lie that it holds this one costs the backup" "" "$(told updaterd "$V0" "$note")$(here)"
equal "but no release" "releases/$V0 $V0" "$(current_of bmsd) $(running_version)"
gw updaterd --clear-quarantine "$V1" 2>/dev/null
run "the next upgrade"
equal "goes ahead" "releases/$V1" "$(current_of bmsd)"
equal "with a backup that was made anew" "$V0.tar.xz" "$(here)"
run "and the way back" 0 --rollback B
equal "is open" "releases/$V0 $V0" "$(current_of bmsd) $(running_version)"

configure 's/^where = server/where = both/'
gw updaterd --clear-quarantine "$V1" 2>/dev/null
gw sh -c "rm /opt/bmsd/backups/*"
queryctl --json backups list | jq -r '.backups[].version' | while read -r version; do
  queryctl backups remove "$version" "imei:$IMEI" >/dev/null
done
rm -f "$FILES"/*

# ---- what came with the package was never published --------------------------------------------

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
