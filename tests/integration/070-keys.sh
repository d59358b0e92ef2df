#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# docs/KEYS.md, played: every command of every chapter, each chapter from the same start, with a thief
# at work before it and gateways that look at what comes of it.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh" "$@"

HERE=$(dirname "$(realpath "$0")")
SOURCE=$(realpath "$HERE/../..")
BOOK=$SOURCE/docs/KEYS.md
TOP=$TMP
PROGRAMS=$TOP/programs
DAY=86400
V1=B202109010001 THIEFS=B202110150001
start_sec=$(date +%s)
NOW=$start_sec

# ---- what the book's machines have ---------------------------------------------------------------

mkdir -p "$PROGRAMS"
# The clock is the test's. The last command line tells whose passphrase is asked for.
cat >"$PROGRAMS/bms-release" <<END
#!/bin/bash
echo "\$*" >"\$WORLD/last"
exec "$BIN/bms-release" "\$@" --time "\$(<"\$WORLD/now")"
END
# Units are those of the package; starting one is running what it starts.
cat >"$PROGRAMS/systemctl" <<END
#!/bin/bash
set -eu
unit=\${!#}
template="$SOURCE/systemd/\${unit%%@*}@.\${unit##*.}"
instance=\$(systemd-escape --unescape --path --instance "\$unit")
case "\$1 \$template" in
  "enable "*.timer) grep -q '^OnCalendar=' "\$template" ;;
  "start "*.service) \$(sed -n 's|^ExecStart=/usr/bin/||p' "\$template" | sed "s|%f|\$instance|") ;;
  *) exit 1 ;;
esac
echo "\$*" >>"\$WORLD/systemctl"
END
cat >"$PROGRAMS/chown" <<END
#!/bin/bash
grep -rqw -- "\${2%:}" "$SOURCE"/debian/*.sysusers
END
chmod +x "$PROGRAMS"/*

at_day() {
  NOW=$((start_sec + $1 * DAY))
  echo "$NOW" >"$W/now"
}
# play CHAPTER: also says that it is played.
play() {
  echo "$1" >>"$TOP/played"
  check "the book: $1" env WORLD="$W" python3 "$HERE/keys_book" "$BOOK" play "$1" "$W" "$PROGRAMS"
}
# world NAME: as it is after the first two chapters.
world() {
  W=$TOP/$1
  cp -a "$TOP/start" "$W"
  SITE=$W/release/srv/bms
  META=$SITE/repository/metadata
  at_day 1
}
# release_tree DIRECTORY CONTENT
release_tree() {
  mkdir -p "$1/bin"
  printf '#!/bin/sh\necho %s\n' "$2" >"$1/bin/bmsd"
  chmod 0755 "$1/bin/bmsd"
}

# ---- gateways ------------------------------------------------------------------------------------

(cd "$TOP" && exec python3 -u -m http.server 0 --bind 127.0.0.1) >"$TOP/http" 2>&1 &
started+=("$!")
wait_for 10 grep -q "port" "$TOP/http"
URL=http://127.0.0.1:$(grep -o 'port [0-9]*' "$TOP/http" | grep -o '[0-9]*')

# gateway NAME: one that was built with the first root, or with another one.
gateway() {
  mkdir "$W/$1"
  cp "${2:-$W/gateway/etc/updaterd/root.json}" "$W/$1/root.json"
}
client() { # GATEWAY REPOSITORY ARGUMENTS...
  # The sanitizer wants to be loaded first, and faketime is.
  ASAN_OPTIONS=${ASAN_OPTIONS:-}:verify_asan_link_order=0 \
    faketime "@$NOW" "$BIN/tuf-client" --metadata-dir "$W/$1" --metadata-url "$URL/${2#"$TOP"/}/repository/metadata" "${@:3}"
}
follows() { client "$1" "${2:-$SITE}" refresh; }
# refused TEXT COMMAND...: it fails and says why.
refused() {
  local said
  if said=$("${@:2}" 2>&1); then return 1; fi
  echo "$said"
  grep -q -- "$1" <<<"$said"
}
installs() { # GATEWAY VERSION [REPOSITORY]
  rm -rf "$W/files"
  mkdir "$W/files"
  client "$1" "${3:-$SITE}" --target-name "B/$2-arm64.tar.xz" --target-dir "$W/files" \
    --target-base-url "$URL/$(realpath --relative-to "$TOP" "${3:-$SITE}")/repository/targets" download
}
trusts() { test "$(jq .signed.version "$W/$1/$2.json")" = "$3"; }
verifies() { "$BIN/bms-release" verify --root "$W/gateway/etc/updaterd/root.json" --time "$NOW" "$SITE/repository"; }
says() {
  local text=$1
  shift
  "$@" 2>&1 | grep -F -- "$text"
}

# ---- thieves -------------------------------------------------------------------------------------

keyid() { "$BIN/bms-release" keys --repo "$W/before" --json | jq -r --arg n "$1" '.keys[] | select(.name == $n).keyid'; }
# stolen KEY OWNER: a private key of the book, its passphrase broken.
stolen() { openssl pkey -in "$1" -passin "pass:the passphrase of $2"; }
# forge FILE KEY-NAME KEY CHANGE: what is signed in FILE, changed, signed with the key.
forge() {
  local signature
  jq -c ".signed | $4" "$1" >"$W/changed"
  jq -cSj . "$W/changed" | sed 's/\\n/\n/g' >"$W/signed"
  signature=$(openssl pkeyutl -sign -rawin -inkey "$3" -in "$W/signed" | basenc -w0 --base16 | tr A-F a-f)
  jq -c --arg id "$(keyid "$2")" --arg sig "$signature" '{signatures: [{keyid: $id, sig: $sig}], signed: .}' "$W/changed"
}
# The thief serves a copy of the repository, with what the thief makes of it in place.
thief_copies() {
  rm -rf "$W/thief"
  mkdir -p "$W/thief"
  cp -a "$SITE/repository" "$W/thief/"
  EVIL=$W/thief/repository/metadata
}
newest() { find "$1" -name "*.$2.json" | sort -V | tail -n 1; }
# thief_signs [ROLE NAME KEY CHANGE]: the thousandth version of all but root, by the online keys in $W/before;
# of targets or B also, by the key.
thief_signs() {
  local snapshot meta=.
  if (($# > 0)); then
    meta=".meta[\"$1.json\"] = {version: 1000}"
    forge "$(newest "$EVIL" "$1")" "$2" "$3" ".version = 1000 | $4" >"$W/forged"
    mv "$W/forged" "$EVIL/1000.$1.json"
  fi
  snapshot=$(newest "$EVIL" snapshot)
  forge "$snapshot" snapshot "$W/before/keys/snapshot.pem" \
    ".version = 1000 | $meta" >"$EVIL/1000.snapshot.json"
  forge "$EVIL/timestamp.json" timestamp "$W/before/keys/timestamp.pem" \
    '.version = 1000 | .meta["snapshot.json"] = {version: 1000}' >"$EVIL/timestamp.json.new"
  mv "$EVIL/timestamp.json.new" "$EVIL/timestamp.json"
}
# The thief's release got published: nobody looked.
smuggle() {
  cp "$W/stolen.pem" "$SITE/keys/battery-team.pem" && chmod 600 "$SITE/keys/battery-team.pem" &&
    "$BIN/bms-release" add --repo "$SITE" --program B --version "$THIEFS" --arch arm64 "$W/thief-build" &&
    "$BIN/bms-release" publish --repo "$SITE" && rm "$SITE/keys/battery-team.pem"
}
# With the online keys and that one: program B is the thief's from now on.
steal_program() {
  local thief=$W/thief
  rm -rf "$thief"
  cp -a "$W/before" "$thief"
  install -m 600 "$W/stolen.pem" "$thief/keys/alice-targets.pem"
  release_tree "$W/thief-build" "evil"
  "$BIN/bms-release" keygen --no-passphrase --dir "$thief/keys" thief &&
    "$BIN/bms-release" rotate B --repo "$thief" --add thief --remove battery-team &&
    "$BIN/bms-release" add --repo "$thief" --program B --version "$THIEFS" --arch arm64 "$W/thief-build" &&
    "$BIN/bms-release" publish --repo "$thief"
}
# Carol's old key and alice's: the threshold of the first root, not of the second.
third_root() {
  local alice carol
  alice=$(stolen "$W/safe/media/alice/alice-root.pem" alice)
  carol=$(stolen "$W/safe/media/carol/carol-root.pem" carol)
  thief_copies
  forge "$EVIL/2.root.json" alice-root <(echo "$alice") '.version = 3' >"$W/by-alice"
  forge "$EVIL/2.root.json" carol-root <(echo "$carol") '.version = 3' >"$W/by-carol"
  jq -c --slurpfile more "$W/by-carol" '.signatures += $more[0].signatures' "$W/by-alice" >"$EVIL/3.root.json"
}

# ---- the start -----------------------------------------------------------------------------------

W=$TOP/start
mkdir -p "$W/stick"
at_day 0
release_tree "$W/release/srv/build/bmsd" 1
play setting-up
wanted() { "$BIN/bms-release" sign --show "$W/stick/request.json" | sed -n 's/^  wants a signature of [0-9a-f]* //p' | xargs; }
check "sign --show tells who has not signed" test "$(wanted)" = "carol-root bob-targets"
play every-release
no_private_keys() {
  test "$(find "$W/release" -name '*.pem' ! -name '*.pub.pem' -printf '%f\n' | sort | xargs)" = "snapshot.pem timestamp.pem" &&
    ! grep -rl PRIVATE "$W/stick"
}
check "the release machine has the online keys only, the stick none" no_private_keys
check "every key of a person has a passphrase" \
  test -z "$(find "$W/safe" "$W"/*-team -name '*.pem' ! -name '*.pub.pem' -exec grep -L ENCRYPTED {} +)"
world first
gateway new
check "a gateway follows" follows new
check "and installs the release" installs new "$V1"
check_fails "but no other" installs new "$THIEFS"

# ---- day and year --------------------------------------------------------------------------------

played_day() {
  world day
  at_day 20
  play every-day
  check "the timer is enabled" grep -q '^enable --now bms-release-renew@' "$W/systemctl"
  check "what it runs has renewed the timestamp" test "$(jq .signed.version "$META/timestamp.json")" = 3
  at_day 40
  gateway new
  check "a gateway follows for longer" follows new
}

played_year() {
  world year
  gateway old
  gateway asleep
  check "a gateway knows the first root" follows old
  at_day 330
  play every-year
  check "gateways follow from the first root on" verifies
  check "the gateway, too" follows old
  check "to the second root" trusts old root 2
  check "which alice and carol signed" test "$(jq '.signatures | length' "$META/2.root.json")" = 2
  at_day 380
  "$BIN/bms-release" renew --repo "$SITE" --time "$NOW" >/dev/null 2>&1
  check "one that slept until the first root had expired follows" installs asleep "$V1"
}

# ---- a stolen timestamp key ----------------------------------------------------------------------

played_timestamp() {
  world timestamp
  cp -a "$SITE" "$W/before"
  gateway deceived
  gateway new
  check "a gateway is up to date" follows deceived
  thief_copies
  thief_signs
  check "the thief makes it believe in the thousandth snapshot" follows deceived "$W/thief"
  check "indeed" trusts deceived timestamp 1000
  check "so that it takes the true one for old" refused "timestamp.json: its version 2 is older than 1000" follows deceived
  play the-timestamp-or-snapshot-key-is-stolen
  check "the gateway recovers" installs deceived "$V1"
  check "gateways follow from the first root on" verifies
  check "a new one, too" follows new
  check "versions go on" trusts new timestamp 3
  check "both keys are new" \
    test "$("$BIN/bms-release" keys --repo "$SITE" --json | jq -c '[.keys[] | select(.role == "snapshot" or .role == "timestamp").name]')" = \
    '["snapshot-2","timestamp-2"]'
  check "the old keys are gone" test ! -e "$SITE/keys/timestamp.pem"
  thief_copies
  thief_signs
  check "the thief signs again, and is refused" refused "timestamp.json (version 1000): signed by 0 of 1" follows deceived "$W/thief"
  check "by the other one as well" refused "timestamp.json (version 1000): signed by 0 of 1" follows new "$W/thief"
}

# ---- a stolen program's key ----------------------------------------------------------------------

played_program() {
  world program
  gateway deceived
  release_tree "$W/thief-build" "evil"
  stolen "$W/battery-team/battery-team.pem" battery >"$W/stolen.pem"
  check "the thief's release is published" smuggle
  check "and would be installed" installs deceived "$THIEFS"
  cp -a "$SITE" "$W/before"
  play a-programs-key-is-stolen
  check "gateways follow from the first root on" verifies
  check "the true release stays" installs deceived "$V1"
  check_fails "the thief's is gone" installs deceived "$THIEFS"
  check "with its files" test -z "$(find "$SITE/repository/targets" -name "*$THIEFS*")"
  thief_copies
  thief_signs B battery-team "$W/stolen.pem" .
  check "the thief signs once more, and is refused" refused "B.json (version 1000): signed by 0 of 1" installs deceived "$THIEFS" "$W/thief"
}

# ---- a stolen targets key ------------------------------------------------------------------------

played_targets() {
  world targets
  cp -a "$SITE" "$W/before"
  gateway behind
  gateway new
  check "a gateway is up to date" follows new
  stolen "$W/safe/media/alice/alice-targets.pem" alice >"$W/stolen.pem"
  check "the thief takes over a program" steal_program
  cp -a "$W/behind" "$W/victim"
  check "and a gateway believes it" installs victim "$THIEFS" "$W/thief"
  play a-targets-key-is-stolen
  check "gateways follow from the first root on" verifies
  check "the gateway, too" follows new
  check "it refuses the thief's" refused "no role signs for it" installs new "$THIEFS" "$W/thief"
  mv "$W/thief" "$W/thief-1"
  thief_copies
  thief_signs targets alice-targets "$W/stolen.pem" .
  check "the thief signs once more, and is refused" refused "targets.json (version 1000): signed by 0 of 1" follows new "$W/thief"
  check "as the book says, who has not heard of the new root believes" installs behind "$THIEFS" "$W/thief-1"
}

# ---- lost root keys ------------------------------------------------------------------------------

played_root() {
  world root
  cp -a "$SITE" "$W/before"
  gateway old
  gateway new
  check "a gateway is up to date" follows old
  play a-root-key-is-lost-or-stolen
  check "gateways follow from the first root on" verifies
  check "the gateway, too" follows old
  check "to the second root" trusts old root 2
  check "which carol's new key may sign, and her old one may not" \
    test "$("$BIN/bms-release" keys --repo "$SITE" --json | jq -c '[.keys[] | select(.role == "root").name] | sort')" = \
    '["alice-root","bob-root","carol-root-2"]'
  check "alice's and carol's old key sign a third root" third_root
  check "which gateways refuse" refused "3.root.json (version 3): signed by 1 of 2" follows old "$W/thief"
}

played_lost() {
  world lost
  cp -a "$SITE" "$W/before"
  gateway old
  check "a gateway is up to date" follows old
  play too-many-root-keys-are-lost
  OTHER=$W/release/srv/bms-2
  check "a gateway with the old root refuses the new repository" refused "signed by 0 of 1" follows old "$OTHER"
  cp "$W/gateway/etc/updaterd/root.json" "$W/old/root.json"
  check "with the new root it follows, whatever it kept" installs old "$V1" "$OTHER"
  gateway new
  check "a new one, too" installs new "$V1" "$OTHER"
  check_fails "not the old repository" follows new
}

# ---- what has expired ----------------------------------------------------------------------------

played_expired() {
  world expired
  gateway old
  gateway asleep
  check "a gateway is up to date" follows old
  at_day 370
  "$BIN/bms-release" renew --repo "$SITE" --time "$NOW" >/dev/null 2>&1
  check "nobody signed root: it is refused" refused "root.json (version 1): expired" follows old
  check_fails "by verify as well" verifies
  check "renew has told" says "root has expired" "$BIN/bms-release" renew --repo "$SITE" --time "$NOW"
  play the-root-has-expired
  check "gateways follow from the first root on" verifies
  check "the gateway, too" follows old
  check "and one that was off all the time" installs asleep "$V1"
}

played_late() {
  world late
  gateway old
  check "a gateway is up to date" follows old
  at_day 40
  check "the timestamp is refused" refused "timestamp.json (version 2): expired" follows old
  play the-timestamp-has-expired
  check "the gateway follows" installs old "$V1"
}

# ---- a wrong release -----------------------------------------------------------------------------

played_wrong() {
  world wrong
  gateway old
  check "a gateway gets the release" installs old "$V1"
  play a-release-is-wrong
  check "gateways follow from the first root on" verifies
  check "the gateway, too" follows old
  check_fails "it gets the release no more" installs old "$V1"
  check "whose files are gone" test -z "$(find "$SITE/repository/targets" -name "*$V1*")"
}

# ---- side by side --------------------------------------------------------------------------------

# side NAME...: these, one after the other, in a shell of its own.
side() {
  local name
  trap - EXIT
  for name in "$@"; do
    mkdir "$TOP/$name-logs"
    TMP=$TOP/$name-logs
    "played_$name"
  done
}
side year targets lost late >"$TOP/one.side" 2>&1 &
started+=("$!")
side day timestamp program >"$TOP/other.side" 2>&1 &
started+=("$!")
side root expired wrong >"$TOP/third.side" 2>&1 &
started+=("$!")
wait "${started[@]:1}"
while IFS= read -r line; do
  case $line in
    "ok      "*) ok "${line#ok      }" ;;
    "NOT OK  "*) fail "${line#NOT OK  }" ;;
    *) echo "$line" ;;
  esac
done < <(cat "$TOP"/*.side)

# ---- the book itself -----------------------------------------------------------------------------

check "every chapter was played" diff <(sort "$TOP/played") <(python3 "$HERE/keys_book" "$BOOK" chapters | sort)
anchors() { sed -n 's/^## //p' "$BOOK" | tr 'A-Z ' 'a-z-' | tr -cd 'a-z0-9\n-'; }
check "every link leads to a chapter" test -z "$(grep -o '(#[^)]*)' "$BOOK" | tr -d '(#)' | sort -u | grep -vxF "$(anchors)")"
reasons() { tr '`' '@' <"$BOOK" | grep -o 'reason @[a-z-]*@' | cut -d @ -f 2 | sort -u; }
check "every reason is one of updaterd's" \
  test -z "$(reasons | grep -vxF "$(sed -n 's/.*\[REASON_[A-Z_]*\] = "\([a-z-]*\)".*/\1/p' "$SOURCE/src/common/reason.c")")"
