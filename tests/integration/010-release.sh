#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# bms-release from the first key to a published repository, checked with tools that know nothing of
# it: openssl, sha256sum, dd, xz, tar, jq.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh" "$@"

V1=B202109010001 V2=B202109020001
REPO=$TMP/repo
META=$REPO/repository/metadata
TARGETS=$REPO/repository/targets
DAY=86400

release() { "$BIN/bms-release" --repo "$REPO" --passphrase-file "$TMP/pass" "$@"; }
# exits STATUS COMMAND...: it ends with exactly this status.
exits() {
  local expected=$1 status=0
  shift
  "$@" || status=$?
  ((status == expected))
}
# says TEXT COMMAND...: whether it succeeds or not, it prints TEXT.
says() {
  local text=$1
  shift
  "$@" 2>&1 | grep -F -- "$text"
}

from_hex() { printf '%b' "$(sed 's/../\\x&/g')"; }

echo "correct horse battery staple" >"$TMP/pass"
mkdir -p "$TMP/tree/bin" "$TMP/tree/etc"
{
  printf '#!/bin/sh\n'
  seq 1 60000 | sha256sum -b - | head -c 64
  seq 1 60000 | openssl enc -aes-128-ctr -K 00 -iv 00 2>/dev/null
} >"$TMP/tree/bin/bmsd"
chmod 0755 "$TMP/tree/bin/bmsd"
echo "[bmsd]" >"$TMP/tree/etc/bmsd.conf"

# ---- the command line --------------------------------------------------------------------------

check "--version" says "bms-release " "$BIN/bms-release" --version
helps() {
  local help verb
  help=$("$BIN/bms-release" --help) || return 1
  for verb in init keys add publish list verify manifest; do
    grep -q "^  $verb " <<<"$help" || return 1
    "$BIN/bms-release" "$verb" --help | grep -q "^Usage: bms-release $verb" || return 1
  done
}
check "--help names every verb, and each has its own" helps
check "no verb: usage" exits 2 "$BIN/bms-release"
check "unknown verb: usage" exits 2 "$BIN/bms-release" sign
check "unknown option: usage" exits 2 "$BIN/bms-release" list --bogus
check "no repository: failure that says what to do" says "bms-release init" release list

# ---- init and keys -----------------------------------------------------------------------------

# A passphrase is needed; without a file and without a terminal there is none.
check_fails "init without a passphrase" \
  setsid "$BIN/bms-release" --repo "$TMP/none" init --programs A,B </dev/null
# on_terminal ANSWERS COMMAND...: runs it on a terminal of its own, gives one answer to each prompt,
# prints what the terminal showed.
on_terminal() {
  python3 - "$@" <<'EOF'
import os, pty, sys

answers, command = sys.argv[1].split(","), sys.argv[2:]
pid, terminal = pty.fork()
if pid == 0:
    os.execv(command[0], command)
shown = b""
seen = 0
while True:
    try:
        part = os.read(terminal, 4096)
    except OSError:
        break
    if not part:
        break
    shown += part
    if shown[seen:].endswith(b": ") and answers:
        seen = len(shown)
        os.write(terminal, answers.pop(0).encode() + b"\n")
print(shown.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
EOF
}
SECRET=$(cat "$TMP/pass")
shows_secret() { grep -F "$SECRET" "$TMP/shown"; }
check "init on a terminal asks twice" \
  on_terminal "$SECRET,$SECRET" "$BIN/bms-release" init --repo "$TMP/asked" --programs A
mv "$TMP/check.log" "$TMP/shown"
check "and prompts" grep -c "The same again" "$TMP/shown"
check_fails "and shows nothing of the passphrase" shows_secret
check_fails "init on a terminal with two passphrases" \
  on_terminal "$SECRET,${SECRET}x" "$BIN/bms-release" init --repo "$TMP/differ" --programs A
check_fails "leaves nothing" test -e "$TMP/differ/keys"
check "renewing on a terminal asks once" \
  on_terminal "$SECRET" "$BIN/bms-release" publish --repo "$TMP/asked" --renew root
check "init" release init --programs A,B
check_fails "init again is refused" release init --programs A,B
check "keys/ is for its owner only" test "$(stat -c %a "$REPO/keys")" = 700
check "private keys are for their owner only" test "$(stat -c %a "$REPO"/keys/{root,B}.pem | sort -u)" = 600
check "root's key is encrypted" grep -q "BEGIN ENCRYPTED PRIVATE KEY" "$REPO/keys/root.pem"
check "openssl opens it with the passphrase" \
  openssl pkey -in "$REPO/keys/root.pem" -passin "file:$TMP/pass" -noout
check_fails "and not with another" openssl pkey -in "$REPO/keys/root.pem" -passin pass:wrongwrong -noout
check "keys lists six roles" test "$(release keys --json | jq '.keys | length')" = 6
check "keys tells which are encrypted" \
  test "$(release keys --json | jq -r '[.keys[] | select(.encrypted).role] | join(",")')" = root,targets

# ---- add ---------------------------------------------------------------------------------------

add() { release add --program B --version "$1" --arch amd64 "${@:2}"; }
check "the first publishing, empty" release publish
check "add" add $V1 --model gw1 --requires A=A202108010001 "$TMP/tree"
check "it is staged, not published" \
  test "$(release list --json | jq -c '.releases[] | [.version, .published, .models]')" = "[\"$V1\",false,[\"gw1\"]]"
check "nothing of it is public" test -z "$(ls "$TARGETS")"
check "the same again is nothing to do" says "Nothing to do" add $V1 --model gw1 --requires A=A202108010001 "$TMP/tree"
check_fails "the same version for other models is refused" add $V1 "$TMP/tree"
cp -a "$TMP/tree" "$TMP/other"
echo "# changed" >>"$TMP/other/bin/bmsd"
check "the same version with other bytes is refused" exits 1 add $V1 --model gw1 "$TMP/other"
check "and says that a version is never changed" says "never changed" add $V1 --model gw1 "$TMP/other"
check "a version of another letter is refused" \
  exits 2 release add --program A --version $V1 --arch amd64 "$TMP/tree"
ln -s bmsd "$TMP/other/bin/link"
check_fails "a tree with a link is refused" add $V2 "$TMP/other"
check "publish" release publish
check "publish again: nothing to do" says "Nothing to publish" release publish
check "it is published" test "$(release list --json | jq -c '[.releases[].published]')" = "[true]"
check "verify" release verify

# ---- what other tools say ----------------------------------------------------------------------

target=B/$V1-amd64.tar.xz
signed_of() { jq -c --arg t "$1" '.signed.targets[$t]' "$META"/2.B.json; }
file_of() { # the file of a target below targets/
  local sha
  sha=$(signed_of "$1" | jq -r .hashes.sha256)
  echo "$TARGETS/${1%/*}/$sha.${1##*/}"
}
program_file=$(file_of "$target")
custom=$(signed_of "$target" | jq -c .custom)

check "the program file has the signed hash" \
  sha256sum --status -c <<<"$(signed_of "$target" | jq -r .hashes.sha256)  $program_file"
check "and the signed length" test "$(stat -c %s "$program_file")" = "$(signed_of "$target" | jq .length)"
xz -dc "$program_file" >"$TMP/release.tar"
check "xz gives the tar that custom.tar signs" \
  sha256sum --status -c <<<"$(jq -r .tar.sha256 <<<"$custom")  $TMP/release.tar"
mkdir "$TMP/unpacked"
tar -xf "$TMP/release.tar" -C "$TMP/unpacked"
check "release.json is the tar's first member" \
  test "$(tar -tf "$TMP/release.tar" | tr '\n' ' ')" = "release.json bin/bmsd etc/bmsd.conf "
check "tar gives the tree back" diff -r --exclude release.json "$TMP/tree" "$TMP/unpacked"
check "release.json has the version" \
  test "$(jq -r '.version + .arch' "$TMP/unpacked/release.json")" = "${V1}amd64"
check "custom is as the protocol has it" test "$(jq -Sc 'del(.tar)' <<<"$custom")" = \
  "{\"arch\":\"amd64\",\"kind\":\"full\",\"model\":[\"gw1\"],\"program\":\"B\",\"requires\":{\"A\":\"A202108010001\"},\"segment_bytes\":[1024,4096,10240],\"version\":\"$V1\"}"

# Each segment cut out with dd and hashed by openssl, against the list.
check_segments() {
  local size=$1 list length count=0 offset header
  list=$(file_of "$target.seg$size")
  length=$(stat -c %s "$program_file")
  header="bms-segments 1 $size $length"
  [[ $(head -n 1 "$list") == "$header" ]] || return 1
  tail -c +$((${#header} + 2)) "$list" | od -An -v -tx1 -w32 | tr -d ' ' >"$TMP/expected"
  for ((offset = 0; offset < length; offset += size)); do
    dd if="$program_file" bs="$size" skip="$count" count=1 status=none |
      openssl dgst -sha256 -r | cut -d' ' -f1
    count=$((count + 1))
  done >"$TMP/actual"
  diff "$TMP/expected" "$TMP/actual" && ((count > 1))
}
check "segments of 10240 bytes, with dd and openssl" check_segments 10240
check "segments of 4096 bytes, with dd and openssl" check_segments 4096

# The files are canonical, so what is signed is a literal part of them.
openssl_verifies() {
  local file=$1 key=$2
  jq -r '.signatures[0].sig' "$file" | from_hex >"$TMP/signature"
  sed 's/^.*"signed":\({"_type".*\)}$/\1/' "$file" | tr -d '\n' >"$TMP/signed"
  openssl pkeyutl -verify -rawin -pubin -inkey "$key" -in "$TMP/signed" -sigfile "$TMP/signature"
}
for pair in 1.root:root 1.targets:targets 2.B:B 2.snapshot:snapshot timestamp:timestamp; do
  check "openssl verifies ${pair%:*}.json" \
    openssl_verifies "$META/${pair%:*}.json" "$REPO/keys/${pair#*:}.pub.pem"
done
check_fails "and not with another role's key" openssl_verifies "$META/2.B.json" "$REPO/keys/A.pub.pem"

# ---- the same again, byte for byte -------------------------------------------------------------

now=$(date +%s)
cp -a "$TMP/tree" "$TMP/tree2"
find "$TMP/tree2" -exec touch -d @1 {} +
tars=()
for tree in tree tree2; do
  rm -rf "$TMP/repo2"
  cp -a "$REPO" "$TMP/repo2"
  tars+=("$("$BIN/bms-release" add --repo "$TMP/repo2" --time "$now" --json --program B --version $V2 \
    --arch amd64 "$TMP/$tree")" "$(cat "$TMP/repo2/staged/B.json")")
done
check "two runs over copies of a tree give the same tar" test "${tars[0]}" = "${tars[2]}"
check "and with --time the same metadata" test "${tars[1]}" = "${tars[3]}"

# ---- tampering ---------------------------------------------------------------------------------

flip() { # one bit in the middle of a file
  local at=$(($(stat -c %s "$1") / 2)) byte
  byte=$(dd if="$1" bs=1 skip=$at count=1 status=none | od -An -tu1)
  printf '%02x\n' $((byte ^ 1)) | from_hex | dd of="$1" bs=1 seek=$at conv=notrunc status=none
}
while read -r file; do
  cp "$file" "$TMP/saved"
  flip "$file"
  check_fails "verify notices one bit in ${file#"$REPO"/repository/}" release verify
  cp "$TMP/saved" "$file"
done < <(find "$REPO/repository" -type f | sort)
check "restored, all is good" release verify
"$BIN/bms-release" init --repo "$TMP/foreign" --passphrase-file "$TMP/pass" --programs A,B >/dev/null
check_fails "verify with another root of trust" \
  release verify --root "$TMP/foreign/repository/metadata/1.root.json"

# A bad file on the public side is never built upon.
cp "$META/2.B.json" "$TMP/saved"
flip "$META/2.B.json"
check_fails "add over tampered metadata" add $V2 "$TMP/tree"
cp "$TMP/saved" "$META/2.B.json"

# ---- time --------------------------------------------------------------------------------------

check "verify tells what expires within 30 days" says "timestamp expires in" release verify
check_fails "verify after the timestamp has expired" release verify --time $((now + 31 * DAY))
check "and names it" says "timestamp" release verify --time $((now + 31 * DAY))
check "publish renews what is past half of its life" release publish --time $((now + 16 * DAY))
check "and verify is content again" release verify --time $((now + 31 * DAY))
check "metadata that is expired from the start can be made" \
  release publish --renew timestamp --expires-sec $((now - 1))
check_fails "and is refused" release verify
check "publishing what has expired is told" says "WARNING: A version" \
  release publish --renew A --expires-sec $((now - 1))
check "renewing all needs the passphrase" release publish --renew all
check "a new root, signed by the old" test "$(jq .signed.version "$META/2.root.json")" = 2
check "good again, from the first root on" release verify

# ---- passphrases and keys ----------------------------------------------------------------------

echo "not the passphrase" >"$TMP/wrong"
check "a wrong passphrase is refused" exits 1 "$BIN/bms-release" publish --repo "$REPO" \
  --passphrase-file "$TMP/wrong" --renew targets
check "and named" says "wrong passphrase" "$BIN/bms-release" publish --repo "$REPO" \
  --passphrase-file "$TMP/wrong" --renew targets
check "releasing needs no passphrase" "$BIN/bms-release" add --repo "$REPO" --program B --version $V2 \
  --arch amd64 "$TMP/tree"
mv "$REPO/keys/root.pem" "$REPO/keys/targets.pem" "$TMP"
check "nor the offline keys" "$BIN/bms-release" publish --repo "$REPO"
check "which keys tells" \
  test "$(release keys --json | jq -r '[.keys[] | select(.private | not).role] | join(",")')" = root,targets
check "renewing without them says where they belong" says "keys/targets.pem" release publish --renew targets
chmod 0755 "$REPO/keys"
check "keys that others can read are refused" says "chmod" release list
chmod 0700 "$REPO/keys"

# ---- a tar as it is, and a factory release -----------------------------------------------------

head -c 5000 /dev/zero >"$TMP/hostile.tar"
check "--tar publishes any bytes" add B202109030001 --tar "$TMP/hostile.tar"
check "publish them" release publish
check "verify: signed bytes are signed bytes" release verify
check "manifest writes release.json" "$BIN/bms-release" manifest --program B --version $V1 --arch amd64 "$TMP/tree"
check "the same that is in the tar" cmp "$TMP/tree/release.json" "$TMP/unpacked/release.json"
check "three releases in the end" test "$(release list --json | jq '.releases | length')" = 3
