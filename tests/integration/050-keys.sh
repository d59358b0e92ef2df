#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Key ceremonies as people do them: the repository on one machine, root's and targets' keys on others,
# and only the file on the stick goes between them. A client that has followed from the first root on
# looks at every state, and a second one that was away comes back at the end.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh" "$@"

V1=B202109010001 V2=B202109020001 V3=B202109030001
SITE=$TMP/site
META=$SITE/repository/metadata
STICK=$TMP/stick/request.json
ALICE=$TMP/alice BOB=$TMP/bob CAROL=$TMP/carol TARA=$TMP/tara
DAY=86400

mkdir -p "$TMP/stick" "$ALICE" "$BOB" "$CAROL" "$TARA" "$TMP/tree/bin"
echo "correct horse battery staple" >"$TMP/pass"
printf '#!/bin/sh\necho 1\n' >"$TMP/tree/bin/bmsd"
chmod 0755 "$TMP/tree/bin/bmsd"

release() { "$BIN/bms-release" "$1" --repo "$SITE" --passphrase-file "$TMP/pass" "${@:2}"; }
# sign WHO...: each on a machine of their own, where nothing is but the key and the stick.
sign() {
  local who
  for who in "$@"; do
    "$BIN/bms-release" sign --key "$TMP/$who/$who.pem" --passphrase-file "$TMP/pass" "$STICK" || return 1
  done
}
# bring WHO...: what is staged goes to them and comes back.
bring() { release export "$STICK" && sign "$@" && release import "$STICK"; }
# says TEXT COMMAND...: whether it succeeds or not, it prints TEXT.
says() {
  local text=$1
  shift
  "$@" 2>&1 | tee "$TMP/said" | grep -F -- "$text"
}
version() { jq .signed.version "$META/$1"; }
newest() { basename "$(find "$META" -name "*.$1.json" | sort -V | tail -n 1)"; }
state() { find "$SITE" -type f -exec sha256sum {} + | sort; }
add() { release add --program B --version "$1" --arch amd64 "$TMP/tree"; }
holds() { # VERSION: the newest B.json names it
  jq -e --arg t "B/$1-amd64.tar.xz" '.signed.targets[$t]' "$META/$(newest B)"
}

client() { "$BIN/tuf-client" --metadata-dir "$TMP/$1" --metadata-url "$URL/metadata" "${@:2}"; }
refresh() { client "${1:-client}" refresh; }
download() { # VERSION
  rm -rf "$TMP/downloads"
  mkdir "$TMP/downloads"
  client client --target-name "B/$1-amd64.tar.xz" --target-base-url "$URL/targets" \
    --target-dir "$TMP/downloads" download
}
trusts() { test "$(jq .signed.version "$TMP/client/$1.json")" = "$2"; }

# ---- a repository whose offline keys were never here ---------------------------------------------

for who in alice bob carol tara; do
  check "$who makes a key" "$BIN/bms-release" keygen "$who" --dir "$TMP/$who" --passphrase-file "$TMP/pass"
done
init() {
  release init --programs A,B --key "root=$ALICE/alice.pub.pem" --key "root=$BOB/bob.pub.pem" \
    --threshold root=2 --key "targets=$TARA/tara.pub.pem"
}
check_fails "a threshold above the keys" release init --programs A --threshold root=2
check "leaves nothing" test ! -e "$SITE/keys"
check "a key file that is none" says "is no public key" release init --programs A --key "root=$ALICE/alice.pem"
check "init with public keys" init
check "no private key of root or targets is here" \
  test "$(find "$SITE/keys" -name '*.pem' ! -name '*.pub.pem' -printf '%f ' | tr ' ' '\n' | sort | xargs)" = \
  "A.pem B.pem snapshot.pem timestamp.pem"
check "nothing is public yet" test -z "$(ls "$META")"
check "publish says who is missing" says "root version 1 has 0 of 2 signatures (missing: alice" release publish
check "and whose" grep -q "targets version 1 has 0 of 1 signatures (missing: tara" "$TMP/said"
check "export" release export "$STICK"
check "alice signs" sign alice
check "and again, which changes nothing" sign alice
check "import tells how far it is" says "root version 1 has 1 of 2 signatures (missing: bob" release import "$STICK"
check_fails "publish still refuses" release publish
check "bob and tara sign" sign bob tara
check "import says what is next" says "'bms-release publish' makes it visible" release import "$STICK"
check "publish" release publish
check "verify" release verify
check "verify tells of a threshold without a spare key" says "root: all of its 2 keys are needed" release verify

(cd "$SITE/repository" && exec python3 -u -m http.server 0 --bind 127.0.0.1) >"$TMP/http.log" 2>&1 &
started+=("$!")
wait_for 10 grep -q "port" "$TMP/http.log"
URL=http://127.0.0.1:$(grep -o 'port [0-9]*' "$TMP/http.log" | grep -o '[0-9]*')
mkdir "$TMP/client" "$TMP/away"
cp "$META/1.root.json" "$TMP/1.root.json"
for who in client away; do check "a client starts with the first root" client $who init "$TMP/1.root.json"; done
check "it follows" refresh
check "so does one that will be away" refresh away
check "add" add $V1
check "publish a release: no offline key is needed" release publish
check "a client fetches it" download $V1

# ---- bob leaves, carol comes, and the timestamp key was stolen -----------------------------------

"$BIN/bms-release" keygen ts2 --dir "$SITE/keys" --no-passphrase >/dev/null
before=$(state)
check "--dry-run tells" says "adds key carol" release rotate root --add "$CAROL/carol.pub.pem" --remove bob --dry-run
check "and writes nothing" test "$(state)" = "$before"
check "rotate root" release rotate root --add "$CAROL/carol.pub.pem" --remove bob
check "the same again: bob is no key of root any more" says "root has no key 'bob'" release rotate root --remove bob
check "adding carol again is nothing to do" says "Nothing to do" release rotate root --add carol
check "removing too many is refused" says "nobody could sign" release rotate root --remove carol
check "alice signs" bring alice
check "rotate timestamp tells that alice's signature is void" says "the signature of alice" \
  release rotate timestamp --add ts2 --remove timestamp
check "both are one version" says "root version 2 has 0 of 2 signatures" release list
check "what alice has signed before is refused" says "is not what is staged now" release import "$STICK"
check_fails "with an exit status" release import "$STICK"
check "alice and carol sign" bring alice carol
check "that is not enough for the present root" says "1 of 2 of the present root's keys (missing: bob" release publish
check "a release goes out meanwhile" add $V2
check "by its name" release publish B
check "and its client fetches it" download $V2
check "bob signs for the last time" bring bob
check "publish" release publish
check "the second root" test "$(newest root)" = 2.root.json
check "signed by three" test "$(jq '.signatures | length' "$META/2.root.json")" = 3
check "the timestamp goes on, signed by the new key" \
  test "$(jq -r '.signatures[].keyid' "$META/timestamp.json")" = "$(release keys --json | jq -r '.keys[] | select(.name == "ts2").keyid')"
check "clients follow" refresh
check "to the second root" trusts root 2
check "verify" release verify

# ---- targets' key, and its thresholds ------------------------------------------------------------

"$BIN/bms-release" keygen tom --dir "$ALICE" --no-passphrase >/dev/null
check "two people for targets" release rotate targets --add "$ALICE/tom.pub.pem" --threshold 2
check "stages root and targets" test "$(release list --json | jq -c '[.staged[].role]')" = '["root","targets"]'
check "export one role alone" release export "$STICK" targets
check "tom signs it" "$BIN/bms-release" sign --key "$ALICE/tom.pem" "$STICK"
check "import" says "targets version 2 has 1 of 2 signatures (missing: tara" release import "$STICK"
check "publishing half of it is refused" says "root version" release publish root
check "the others sign" bring alice carol tara
check "publish" release publish
check "clients follow" refresh
check "to the new targets" trusts targets 2

# ---- the program's key was stolen, and the thief has signed --------------------------------------

check "what the thief signs" add $V3
check "and publishes" release publish
"$BIN/bms-release" keygen B2 --dir "$SITE/keys" --no-passphrase >/dev/null
check "rotate shows what the role holds" says "B holds $V3 for amd64" release rotate B --add B2 --remove B --dry-run
stolen=$(version "$(newest B)")
check "and takes the content of an older version" \
  release rotate B --add B2 --remove B --reset-to $((stolen - 1))
check "tara and tom sign" bring tara
check "tom, too" "$BIN/bms-release" sign --key "$ALICE/tom.pem" "$STICK"
check "import" release import "$STICK"
check "publish" release publish
check_fails "the thief's release is gone" holds $V3
check "with its files" test -z "$(find "$SITE/repository/targets" -name "*$V3*")"
check "versions go on" test "$(version "$(newest B)")" = $((stolen + 1))
check "a client cannot install the thief's" refresh
check_fails "indeed" download $V3
check "but the one before" download $V2
check "verify" release verify

# ---- revoking ------------------------------------------------------------------------------------

check "revoke tells what gateways do" says "stay on it until a newer one is published" release revoke $V2
check "publish" release publish
check_fails "nobody gets it" download $V2
check "but the one before" download $V1

# ---- roles come and go ---------------------------------------------------------------------------

bring_targets() {
  release export "$STICK" && sign tara && "$BIN/bms-release" sign --key "$ALICE/tom.pem" "$STICK" &&
    release import "$STICK"
}
check "undelegate" says "stays in the snapshot at version 1" release undelegate A
check "delegate" release delegate docs --path 'docs/*' --key B2
check "both are signed" bring_targets
check "publish" release publish
check "the snapshot still lists A" jq -e '.signed.meta["A.json"].version == 1' "$META/$(newest snapshot)"
check "so clients that know it follow" refresh
check_fails "add to what is no program any more" release add --program A --version A202109010001 --arch all "$TMP/tree"
check "delegate to it again" release delegate A --key B2
check "signed" bring_targets
check "publish" release publish
check "its versions go on" test "$(newest A)" = 2.A.json
check "clients follow" refresh
check "verify" release verify

# ---- renewing what is signed elsewhere -----------------------------------------------------------

now=$(date +%s)
in_a_year() { # on a copy: nobody has renewed root for 340 days
  local later=$((now + 340 * DAY))
  rm -rf "$TMP/later"
  cp -a "$SITE" "$TMP/later"
  "$BIN/bms-release" publish --repo "$TMP/later" --time $later --renew snapshot --renew timestamp &&
    "$BIN/bms-release" verify --repo "$TMP/later" --time $later
}
check "verify tells what expires within 30 days" says "root expires in" in_a_year
check "renewing without the keys says what to do" says "export --renew root" release publish --renew root
check "and stages nothing" test "$(release list --json | jq '.staged | length')" = 0
check "export renews" release export --renew root "$STICK"
check "alice and carol sign" sign alice carol
check "import" release import "$STICK"
check "publish" release publish
check "clients follow" refresh
check "to the newest root" trusts root "$(version "$(newest root)")"

# ---- who was away --------------------------------------------------------------------------------

check "a client that was away since the first root comes back" refresh away
check "and trusts the newest root" test "$(jq .signed.version "$TMP/away/root.json")" = "$(version "$(newest root)")"
mkdir "$TMP/fresh"
client fresh init "$TMP/1.root.json"
check "so does a new one" refresh fresh

# ---- what lies on the public side ----------------------------------------------------------------

cp -a "$SITE" "$TMP/copy"
"$BIN/bms-release" init --repo "$TMP/foreign" --programs A,B --passphrase-file "$TMP/pass" >/dev/null
"$BIN/bms-release" publish --repo "$TMP/foreign" --passphrase-file "$TMP/pass" >/dev/null
rm -r "$META"
cp -a "$TMP/foreign/repository/metadata" "$META"
check_fails "nothing is built on somebody else's repository" add B202110010001
check_fails "nor published" release publish --renew timestamp
rm -r "$SITE"
cp -a "$TMP/copy" "$SITE"
next=$(($(version "$(newest root)") + 1))
cp "$TMP/foreign/repository/metadata/1.root.json" "$META/$next.root.json"
check "nor is a root of another version taken" says "holds another version" release list
until [[ -e $TMP/foreign/repository/metadata/$next.root.json ]]; do
  "$BIN/bms-release" publish --repo "$TMP/foreign" --passphrase-file "$TMP/pass" --renew root >/dev/null || break
done
cp "$TMP/foreign/repository/metadata/$next.root.json" "$META/"
check "nor one that somebody else signed" says "is not signed by the keys of root" release list
rm -r "$SITE"
cp -a "$TMP/copy" "$SITE"
cp "$META/2.root.json" "$META/1.root.json"
check "the first root is not looked at again" add B202110010001
rm -r "$SITE"
cp -a "$TMP/copy" "$SITE"
rm "$SITE/root.json"
check "a repository from before root.json is known by its first root" add B202110010001
check "publish" release publish
check "root.json is there again" cmp "$SITE/root.json" "$META/$(newest root)"
rm -r "$SITE/root.json" "$META"
cp -a "$TMP/foreign/repository/metadata" "$META"
check_fails "but not by somebody else's" add B202110020001

# ---- answers for programs ------------------------------------------------------------------------

rm -r "$SITE"
cp -a "$TMP/copy" "$SITE"
has_changes() { "$@" --json 2>/dev/null | jq -es '.[0].changes | length > 0'; }
check "rotate --json" has_changes release rotate timestamp --add timestamp --dry-run
check "delegate --json" has_changes release delegate extra --path 'x/*' --key B2 --dry-run
check "undelegate --json" has_changes release undelegate docs --dry-run
check "revoke --json" has_changes release revoke $V1 --dry-run
check "publish --json" has_changes release publish --renew timestamp
check "export --json" has_changes release export "$STICK" --renew root
check "import --json" \
  test "$(sign alice >/dev/null && release import "$STICK" --json | jq -c '[.added, .staged[0].signatures, .staged[0].threshold]')" = "[1,1,2]"
check "keys --json tells thresholds" test "$(release keys --json | jq '[.keys[] | select(.role == "root").threshold] | unique[]')" = 2
