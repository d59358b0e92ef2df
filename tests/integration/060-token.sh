#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Keys kept elsewhere: in files of every type and in a PKCS#11 token (SoftHSM). A root that all of them
# have to sign is signed by one after the other, then checked by the gateways' code and, signature by
# signature, by the openssl command line.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh" "$@"

MODULE=/usr/lib/softhsm/libsofthsm2.so
PIN=83927164
REPO=$TMP/repo
META=$REPO/repository/metadata
REQUEST=$TMP/stick/request.json
KEYS=$TMP/keys

export SOFTHSM2_CONF=$TMP/softhsm2.conf
mkdir -p "$TMP/tokens" "$TMP/stick" "$KEYS"
printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' "$TMP/tokens" >"$SOFTHSM2_CONF"
echo "$PIN" >"$TMP/pin"
echo "correct horse battery staple" >"$TMP/pass"

exits() {
  local expected=$1 status=0
  shift
  "$@" || status=$?
  ((status == expected))
}
# fails_with TEXT COMMAND...: exit status 1, one line on stderr, and TEXT in it; kept in said.log.
fails_with() {
  local text=$1 status=0
  shift
  "$@" >"$TMP/out.log" 2>"$TMP/err.log" || status=$?
  cat "$TMP/out.log" "$TMP/err.log" | tee -a "$TMP/said.log"
  ((status == 1)) && (($(grep -c '^bms-release: ' "$TMP/err.log") == 1)) && grep -qF -- "$text" "$TMP/err.log"
}
release() { "$BIN/bms-release" "$@" 2>&1 | tee -a "$TMP/said.log"; return "${PIPESTATUS[0]}"; }
token() { softhsm2-util --init-token --free --label "$1" --pin "$PIN" --so-pin 12345678; }
token_key() { # TOKEN TYPE LABEL
  pkcs11-tool --module "$MODULE" --login --pin "$PIN" --token-label "$1" --keypairgen --key-type "$2" \
    --label "$3" --id "$4"
}
uri() { echo "pkcs11:token=${2:-ceremony};object=$1?module-path=$MODULE"; }

# ---- keys ---------------------------------------------------------------------------------------

check "a token" token ceremony
check "an RSA key in it" token_key ceremony rsa:2048 safe-rsa 01
check "a P-256 key" token_key ceremony EC:prime256v1 safe-p256 02
check "a P-384 key" token_key ceremony EC:secp384r1 safe-p384 03
check "and one of a curve that is not for metadata" token_key ceremony EC:secp521r1 other 04
for type in ed25519 rsa; do
  check "keygen $type" release keygen --type "$type" --passphrase-file "$TMP/pass" --dir "$KEYS" "file-$type"
  check "openssl opens it" openssl pkey -in "$KEYS/file-$type.pem" -passin "file:$TMP/pass" -noout
done
for type in ecdsa-p256 ecdsa-p384; do
  check "keygen $type, not encrypted" release keygen --type "$type" --no-passphrase --dir "$KEYS" "file-$type"
  check "openssl opens it" openssl pkey -in "$KEYS/file-$type.pem" -noout
done
for key in rsa p256 p384; do
  check "keygen of the token's $key" release keygen --token "$(uri "safe-$key")" --pin-file "$TMP/pin" \
    --dir "$KEYS" "token-$key"
done
token_public() { # as pkcs11-tool reads it
  pkcs11-tool --module "$MODULE" --token-label ceremony --read-object --type pubkey --label "$1" -o "$TMP/public" &&
    openssl pkey -pubin -inform DER -in "$TMP/public" | cmp - "$2"
}
check "the public half is the token's" token_public safe-rsa "$KEYS/token-rsa.pub.pem"
check "of the P-256 key as well" token_public safe-p256 "$KEYS/token-p256.pub.pem"
check "a key is never overwritten" fails_with "never overwritten" "$BIN/bms-release" keygen --dir "$KEYS" \
  --no-passphrase token-rsa
check "a name is no path" exits 2 "$BIN/bms-release" keygen --no-passphrase ../evil
check "an unknown type" exits 2 "$BIN/bms-release" keygen --type dsa x
check "--no-passphrase" release keygen --no-passphrase --dir "$KEYS" --json plain
check "is not encrypted" openssl pkey -in "$KEYS/plain.pem" -noout
check "private keys are for their owner only" \
  test "$(stat -c %a "$KEYS"/{file-rsa.pem,plain.pem,token-rsa.uri} | sort -u)" = 600

# ---- a request ----------------------------------------------------------------------------------

check "a repository" release init --repo "$REPO" --programs A --passphrase-file "$TMP/pass"
check "published" release publish --repo "$REPO"
cp "$REPO/keys/root.pub.pem" "$KEYS/old-root.pub.pem"
signers=(old-root file-ed25519 file-ecdsa-p256 file-ecdsa-p384 file-rsa token-rsa token-p256 token-p384)
# make_request NAME...: root version 2, to be signed by all of these but the old one; key ids computed
# here, from the public halves alone.
make_request() {
  python3 - "$META/1.root.json" "$KEYS" "$@" <<'EOF' >"$REQUEST"
import hashlib, json, subprocess, sys

def canonical(value):
    if isinstance(value, dict):
        return "{" + ",".join(f"{canonical(k)}:{canonical(value[k])}" for k in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return json.dumps(value)

def key_object(path):
    pem = open(path).read()
    text = subprocess.run(["openssl", "pkey", "-pubin", "-in", path, "-noout", "-text"],
                          capture_output=True, text=True, check=True).stdout
    if "ED25519" in text:
        der = subprocess.run(["openssl", "pkey", "-pubin", "-in", path, "-outform", "DER"],
                             capture_output=True, check=True).stdout
        return {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": der[-32:].hex()}}
    for curve, scheme in ("P-256", "ecdsa-sha2-nistp256"), ("P-384", "ecdsa-sha2-nistp384"):
        if curve in text:
            return {"keytype": "ecdsa", "scheme": scheme, "keyval": {"public": pem}}
    return {"keytype": "rsa", "scheme": "rsassa-pss-sha256", "keyval": {"public": pem}}

previous = json.load(open(sys.argv[1]))
signed = json.loads(json.dumps(previous["signed"]))
needs = []
signed["version"] = 2
signed["roles"]["root"] = {"keyids": [], "threshold": len(sys.argv) - 4}
for name in sys.argv[3:]:
    key = key_object(f"{sys.argv[2]}/{name}.pub.pem")
    keyid = hashlib.sha256(canonical(key).encode()).hexdigest()
    needs.append({"keyid": keyid, "name": name, "keytype": key["keytype"]})
    if name != "old-root":
        signed["keys"][keyid] = key
        signed["roles"]["root"]["keyids"].append(keyid)
    else:
        del signed["keys"][keyid]
json.dump({"_type": "bms-signing-request", "version": 1, "roles": [
    {"role": "root", "file": {"signatures": [], "signed": signed}, "previous": previous, "needs": needs,
     "threshold": len(sys.argv) - 4, "changes": ["root gets a committee \u001b[2J"]}]}, sys.stdout)
EOF
}
check "a root that seven keys and the old one have to sign" make_request "${signers[@]}"
keyid() { jq -r --arg n "$1" '.roles[0].needs[] | select(.name == $n).keyid' "$REQUEST"; }

shown() { "$BIN/bms-release" sign --show "$REQUEST" >"$TMP/shown.log"; }
check "--show" shown
check "tells the threshold" grep -q "root is signed by 7 of 7 keys" "$TMP/shown.log"
check "tells the keys by the ids that were computed here" grep -q "$(keyid token-p384)" "$TMP/shown.log"
check "warns of the key that goes" grep -q "WARNING: root: key $(keyid old-root) may sign no more" "$TMP/shown.log"
check "tells who signs from now on" grep -q "key $(keyid file-rsa) may sign from now on" "$TMP/shown.log"
check "tells what the sender says, unable to hide anything" \
  grep -qF 'the sender says: root gets a committee \x1b[2J' "$TMP/shown.log"
check "and signs nothing" test "$(jq '.roles[0].file.signatures | length' "$REQUEST")" = 0

# ---- signing ------------------------------------------------------------------------------------

sign() { release sign "$REQUEST" "$@"; }
cp "$REPO/keys/root.pem" "$KEYS/old-root.pem"
for name in old-root file-ed25519 file-ecdsa-p256 file-ecdsa-p384 file-rsa; do
  check "sign with $name" sign --key "$KEYS/$name.pem" --passphrase-file "$TMP/pass"
done
check "sign again: said, and no error" sign --key "$KEYS/file-rsa.pem" --passphrase-file "$TMP/pass"
check "in these words" grep -q "was signed with this key before" "$TMP/said.log"
cp "$REQUEST" "$TMP/before"
check "sign with the token's RSA key, to another file" \
  sign --token "$(uri safe-rsa)" --pin-file "$TMP/pin" --out "$TMP/stick/next.json"
check "the request itself stays" cmp "$REQUEST" "$TMP/before"
mv "$TMP/stick/next.json" "$REQUEST"
check "with its P-256 key by id, the PIN from pin-source" \
  sign --token "pkcs11:token=ceremony;id=%02?module-path=$MODULE&pin-source=file:$TMP/pin"
# on_terminal ANSWER COMMAND...: gives it at the first prompt on a terminal of its own.
on_terminal() {
  python3 - "$@" <<'EOF'
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[2], sys.argv[2:])
shown = b""
answer = sys.argv[1]
while True:
    try:
        part = os.read(terminal, 4096)
    except OSError:
        break
    if not part:
        break
    shown += part
    if answer and shown.endswith(b"': "):
        os.write(terminal, answer.encode() + b"\n")
        answer = ""
print(shown.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
EOF
}
typed() {
  on_terminal "$PIN" "$BIN/bms-release" sign "$REQUEST" --token "$(uri safe-p384)" >"$TMP/typed.log" || return 1
  cat "$TMP/typed.log" >>"$TMP/said.log"
  grep -q "PIN of the token 'ceremony': " "$TMP/typed.log"
}
check "with its P-384 key, the PIN typed in" typed
check "eight signatures" test "$(jq '.roles[0].file.signatures | length' "$REQUEST")" = 8
check "no temporary file is left on the stick" test "$(ls -A "$TMP/stick")" = request.json

# ---- what others say of it ----------------------------------------------------------------------

jq -c '.roles[0].file' "$REQUEST" >"$META/2.root.json"
check "gateways follow the new root" "$BIN/bms-release" verify --repo "$REPO"
jq -c '.signatures[3].sig |= "00" + .[2:]' "$META/2.root.json" >"$TMP/spoilt"
cp "$META/2.root.json" "$TMP/good"
cp "$TMP/spoilt" "$META/2.root.json"
check_fails "and not with one signature spoilt" "$BIN/bms-release" verify --repo "$REPO"
cp "$TMP/good" "$META/2.root.json"

# As bms-release(1) has it: canonical JSON is compact, sorted, and has line feeds as they are.
f=$META/2.root.json
jq -cSj .signed "$f" | sed 's/\\n/\n/g' >"$TMP/signed"
signature_of() {
  printf '%b' "$(jq -r --arg id "$(keyid "$1")" '.signatures[] | select(.keyid == $id).sig' "$f" |
    sed 's/../\\x&/g')" >"$TMP/signature"
}
openssl_verifies() {
  local key=$KEYS/$1.pub.pem
  signature_of "$1"
  case $1 in
    *root | *ed25519) openssl pkeyutl -verify -rawin -pubin -inkey "$key" -in "$2" -sigfile "$TMP/signature" ;;
    *p256) openssl dgst -sha256 -verify "$key" -signature "$TMP/signature" "$2" ;;
    *p384) openssl dgst -sha384 -verify "$key" -signature "$TMP/signature" "$2" ;;
    *rsa) openssl dgst -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32 -verify "$key" \
      -signature "$TMP/signature" "$2" ;;
  esac
}
sed 's/"version":2/"version":3/' "$TMP/signed" >"$TMP/changed"
for name in "${signers[@]}"; do
  check "openssl verifies the signature of $name" openssl_verifies "$name" "$TMP/signed"
  check_fails "and not over other bytes" openssl_verifies "$name" "$TMP/changed"
done

# ---- what goes wrong ----------------------------------------------------------------------------

check "the request again, unsigned" make_request "${signers[@]}"
cp "$REQUEST" "$TMP/before"
echo 12345999 >"$TMP/wrong"
with() { "$BIN/bms-release" sign "$REQUEST" --pin-file "$TMP/pin" --token "$1"; }
check "a wrong PIN" fails_with "wrong PIN for the token 'ceremony'" \
  "$BIN/bms-release" sign "$REQUEST" --pin-file "$TMP/wrong" --token "$(uri safe-rsa)"
check "the right one works after it" "$BIN/bms-release" sign "$REQUEST" --out "$TMP/out.json" \
  --pin-file "$TMP/pin" --token "$(uri safe-rsa)"
check "no PIN and no terminal" fails_with "--pin-file" \
  setsid "$BIN/bms-release" sign "$REQUEST" --token "$(uri safe-rsa)"
check "no such token" fails_with "there is no token 'elsewhere'" with "$(uri safe-rsa elsewhere)"
check "no such key" fails_with "has no private key 'pkcs11:token=ceremony;object=nothing'" with "$(uri nothing)"
check "a key of another type" fails_with "of a type that is not for signing metadata" with "$(uri other)"
check "no such module" fails_with "cannot load the PKCS#11 module /nonexistent.so" \
  with "pkcs11:token=ceremony;object=safe-rsa?module-path=/nonexistent.so"
check "no engine" fails_with "libengine-pkcs11-openssl" env OPENSSL_ENGINES="$TMP" "$BIN/bms-release" sign "$REQUEST" \
  --pin-file "$TMP/pin" --token "$(uri safe-rsa)"
check "a PIN on the command line" fails_with "can be read by every user" with "$(uri safe-rsa)&pin-value=0000"
check "no URI" fails_with "does not name one token and one key" with "$KEYS/file-rsa.pem"
check "a wrong passphrase" fails_with "wrong passphrase" "$BIN/bms-release" sign "$REQUEST" --key "$KEYS/file-rsa.pem" \
  --passphrase-file "$TMP/wrong"
check "a key that nobody asks for" fails_with "wants a signature of this key" "$BIN/bms-release" sign "$REQUEST" \
  --key "$KEYS/plain.pem"
check "a key file that is not there" fails_with "cannot read '$KEYS/none.pem'" "$BIN/bms-release" sign "$REQUEST" \
  --key "$KEYS/none.pem"
check "a public key" fails_with "no private key in PEM" "$BIN/bms-release" sign "$REQUEST" --key "$KEYS/file-rsa.pub.pem"
check "--key and --token" exits 2 "$BIN/bms-release" sign "$REQUEST" --key a --token b
check "no key" exits 2 "$BIN/bms-release" sign "$REQUEST"
check "no request" exits 2 "$BIN/bms-release" sign --show
check "metadata is no request" fails_with "no signing request" "$BIN/bms-release" sign --show "$f"
check "after all that the request is as it was" cmp "$REQUEST" "$TMP/before"
# The engine of Debian 12 gives up on a token that holds one.
check "a token with an Ed25519 key" token edwards
check "is made elsewhere" token_key edwards EC:edwards25519 safe-ed 01
check "and is refused with a hint" fails_with "Ed25519" with "$(uri safe-ed edwards)"

no_secrets() { ! grep -F -e "$PIN" -e 12345999 -e "$(cat "$TMP/pass")" "$TMP"/*.log "$REQUEST" "$KEYS"/*.uri; }
check "nothing that was printed or written holds a PIN or passphrase" no_secrets
check "and something was printed" test -s "$TMP/said.log"
