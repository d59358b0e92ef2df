#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# site.sh BIN DIRECTORY: what server.py and a gateway need, made anew in DIRECTORY:
#   pki/     ca, server, server2 (another good one), expired, wrong-host, self-signed, unknown-ca, portal,
#            client, and crl.pem in which client is revoked
#   older/   a repository before NEW was published, site/ after; root.json
#   old/     the release that a gateway starts with
#   base/    another one, with a third of what is in NEW: there is a patch from it
# BIN "-": only the first. SITE_BYTES: how large the new program is.
set -euo pipefail
BIN=$1 DIR=$2
OLD=B202108010001 BASE=B202108020001 NEW=B202109010001
DAYS=9000

# ---- certificates ------------------------------------------------------------------------------

mkdir -p "$DIR/pki"
cd "$DIR/pki"
key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"; }
authority() { # NAME
  key "$1"
  openssl req -x509 -new -key "$1.key" -days "$DAYS" -subj "/CN=$1" -out "$1.pem"
}
cat >ca.conf <<'END'
[ca]
default_ca=here
[here]
database=index.txt
new_certs_dir=.
serial=serial
default_md=sha256
policy=any
copy_extensions=copy
unique_subject=no
default_crl_days=9000
[any]
commonName=supplied
END
: >index.txt
echo 01 >serial
sign() { # NAME CA SUBJECT-ALTERNATIVE-NAMES [OPTION...]
  key "$1"
  openssl req -new -key "$1.key" -subj "/CN=$1" -addext "subjectAltName=$3" -out "$1.csr"
  openssl ca -batch -notext -config ca.conf -cert "$2.pem" -keyfile "$2.key" -in "$1.csr" -out "$1.pem" "${@:4}"
}
ALL=DNS:query.test,DNS:files.test,IP:127.0.0.1
{
  authority ca
  authority other
  sign server ca "$ALL" -days "$DAYS"
  sign server2 ca "$ALL" -days "$DAYS"
  sign expired ca "$ALL" -startdate 20200101000000Z -enddate 20200201000000Z
  sign wrong-host ca DNS:elsewhere.test -days "$DAYS"
  sign unknown-ca other "$ALL" -days "$DAYS"
  sign portal other "$ALL" -days "$DAYS"
  sign client ca DNS:gateway.test -days "$DAYS"
  key self-signed
  openssl req -x509 -new -key self-signed.key -days "$DAYS" -subj /CN=query.test -addext "subjectAltName=$ALL" \
    -out self-signed.pem
  openssl ca -config ca.conf -cert ca.pem -keyfile ca.key -revoke client.pem
  openssl ca -config ca.conf -cert ca.pem -keyfile ca.key -gencrl -out crl.pem
} >openssl.log 2>&1 || { cat openssl.log; exit 1; }
chmod 644 ./*.key

# ---- releases ----------------------------------------------------------------------------------

[[ $BIN != - ]] || exit 0
cd "$DIR"
mkdir -p old/bin base/bin new/bin
printf '#!/bin/sh\necho %s\n' "$OLD" >old/bin/program
/usr/bin/python3 -c 'import random, sys; sys.stdout.buffer.write(random.Random(4).randbytes(int(sys.argv[1])))' \
  "${SITE_BYTES:-1500000}" >new/bin/program
tail -c $(($(stat -c %s new/bin/program) / 3)) new/bin/program >base/bin/program
chmod 755 old/bin/program base/bin/program new/bin/program
echo 'a passphrase for the test' >passphrase
release() { "$BIN/bms-release" "$1" --repo "$DIR/repo" --passphrase-file "$DIR/passphrase" "${@:2}" >/dev/null; }
release init --programs B --expires-days-root 3650 --expires-days-targets 3650 --expires-days-programs 3650 \
  --expires-days-snapshot 3650 --expires-days-timestamp 3650
release add --program B --version "$BASE" --arch amd64 base
release publish
cp -r repo/repository older
release add --program B --version "$NEW" --arch amd64 new
release publish
mv repo/repository site
cp site/metadata/1.root.json root.json
"$BIN/bms-release" manifest --program B --version "$OLD" --arch amd64 old >/dev/null
"$BIN/bms-release" manifest --program B --version "$BASE" --arch amd64 base >/dev/null
