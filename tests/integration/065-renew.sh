#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# bms-release renew, as its timer runs it: snapshot and timestamp with the keys that are there, one of
# them in a token, and nothing else.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh" "$@"

MODULE=/usr/lib/softhsm/libsofthsm2.so
PIN=83927164
REPO=$TMP/repo
META=$REPO/repository/metadata
DAY=86400

export SOFTHSM2_CONF=$TMP/softhsm2.conf
mkdir -p "$TMP/tokens" "$TMP/tree"
printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' "$TMP/tokens" >"$SOFTHSM2_CONF"
echo "$PIN" >"$TMP/pin"
echo "correct horse battery staple" >"$TMP/pass"
echo "[bmsd]" >"$TMP/tree/bmsd.conf"
now=$(date +%s)

release() { "$BIN/bms-release" "$@" 2>&1; }
renew() { release renew --repo "$REPO" "$@"; }
says() {
  local text=$1
  shift
  "$@" 2>&1 | grep -F -- "$text"
}
version() { jq .signed.version "$META/$1"; }
# What renewing may not touch.
rest() { find "$REPO" -type f ! -name '*snapshot.json' ! -name timestamp.json -exec sha256sum {} + | sort; }

make_token() {
  softhsm2-util --init-token --free --label online --pin "$PIN" --so-pin 12345678 &&
    pkcs11-tool --module "$MODULE" --login --pin "$PIN" --token-label online --keypairgen \
      --key-type EC:prime256v1 --label timestamp --id 01 &&
    release keygen --dir "$TMP" --pin-file "$TMP/pin" \
      --token "pkcs11:token=online;object=timestamp?module-path=$MODULE" online
}
check "a timestamp key in a token" make_token
check "init with it" release init --repo "$REPO" --programs A,B --passphrase-file "$TMP/pass" \
  --key "timestamp=$TMP/online.pub.pem"
check_fails "nothing to renew before the first publishing" renew
check_fails "publish without the token's URI" release publish --repo "$REPO"
# As an operator does it: the PIN beside the key, for its owner only.
sed "s|\$|\&pin-value=$PIN|" "$TMP/online.uri" >"$REPO/keys/online.uri"
check "publish with it" release publish --repo "$REPO"
check "gateways like it" release verify --repo "$REPO"
check "keys tells of the token" says token release keys --repo "$REPO"
mv "$REPO/keys/root.pem" "$REPO/keys/targets.pem" "$TMP"

check "renew: nothing is due" says "Nothing to renew" renew
check "and nothing is written" test "$(version timestamp.json)" = 1
check "a staged release" release add --repo "$REPO" --program B --version B202109010001 --arch all "$TMP/tree"
before=$(rest)
later=$((now + 16 * DAY))
check "--dry-run past half of the life" says "Would renew snapshot (version 2) and timestamp (version 2)" \
  renew --time $later --dry-run
check "writes nothing" test "$(version timestamp.json)" = 1
check "renew past half of the life, without the offline keys" \
  says "Renewed snapshot (version 2) and timestamp (version 2)" renew --time $later
check "gateways are content for longer" release verify --repo "$REPO" --time $((now + 40 * DAY))
check "what was staged is staged" test "$before" = "$(rest)"
check "again: nothing" says "Nothing to renew" renew --time $later
check "--within: what would expire by then" \
  test "$(renew --time $later --within 31 --json | jq -c '[.renewed, .timestamp_version]')" = '[["snapshot","timestamp"],3]'
check "--within: and only that" test "$(renew --time $later --within 29 --json | jq -c .renewed)" = '[]'

# ---- what people have to sign -------------------------------------------------------------------

far=$((now + 350 * DAY))
check "what expires within 30 days is told" says "root expires in 15 days" renew --time $far
check "in JSON, too" test "$(renew --time $far --json | jq -c '[.expiring[].role]')" = '["root","targets","A","B"]'
check "and what has expired" says "targets has expired" renew --time $((now + 366 * DAY))

# ---- what goes wrong ----------------------------------------------------------------------------

check "no number of days" says "no number" renew --within soon
mv "$REPO/keys/online.uri" "$TMP/kept.uri"
check_fails "the token's URI is not there" renew --time $((far + 40 * DAY))
sed "s|$PIN|11111111|" "$TMP/kept.uri" >"$REPO/keys/online.uri"
check_fails "its PIN is wrong" renew --time $((far + 40 * DAY))
check "which is said, without the PIN" says "wrong PIN for the token 'online'" renew --time $((far + 40 * DAY))
no_pin() { ! renew --time $((far + 40 * DAY)) | grep -e "$PIN" -e 11111111; }
check "nowhere" no_pin
cp "$TMP/kept.uri" "$REPO/keys/online.uri"
check "good again" renew --time $((far + 40 * DAY))
