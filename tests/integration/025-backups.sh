#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Backups on a real queryd: by reference, in parts, wrong in every way, cut, killed, and on a full disk.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh" "$@"

IMEI=490154203237518
OTHER=356938035643809
VERSION=B202108010001
SOCKET=$TMP/queryd.sock
SCHEME=http
SIZE=300000

same() { # NAME GOT EXPECTED
  if [[ $2 == "$3" ]]; then ok "$1"; else fail "$1" "'$2' instead of '$3'"; fi
}

# ---- a repository, a configuration -------------------------------------------------------------

release() { "$BIN/bms-release" "$1" --repo "$TMP/repo" --passphrase-file "$TMP/passphrase" "${@:2}" >/dev/null; }

echo 'a passphrase for the test' >"$TMP/passphrase"
mkdir -p "$TMP/tree/bin"
head -c 20000 /dev/urandom >"$TMP/tree/bin/program"
chmod 755 "$TMP/tree/bin/program"
make_repository() {
  release init --programs B &&
    release add --program B --version B202109010001 --arch amd64 "$TMP/tree" &&
    release publish
}
check 'a repository is made' make_repository
REPOSITORY=$TMP/repo/repository
cp "$REPOSITORY/metadata/1.root.json" "$TMP/root.json"

write_conf() { # DIRECTORY-OF-BACKUPS, more lines of [backup]
  cat >"$TMP/queryd.conf" <<END
[listen]
address=127.0.0.1
port=0
allow_plain_loopback=yes
unix_socket=$SOCKET
[repository]
path=$REPOSITORY
trusted_root=$TMP/root.json
[store]
path=$TMP/queryd.db
[backup]
path=$1
$(printf '%s\n' "${@:2}")
[admin]
token_file=$TMP/token
END
}

# ---- a gateway ---------------------------------------------------------------------------------

hash_of() { sha256sum "$1" | cut -d' ' -f1; }
head -c $SIZE /dev/urandom >"$TMP/backup"
SHA=$(hash_of "$TMP/backup")
TAR=$(printf 1%.0s {1..64})

# The status, and the answer in $TMP/answer.
call() { curl -sS --max-time 20 -o "$TMP/answer" -w '%{http_code}' "$@" 2>"$TMP/curl.err"; }
path_of() { echo "$URL/v1/backups/imei/$1/${2:-$VERSION}"; } # IMEI [VERSION]
tell() { # IMEI VERSION [SHA256 LENGTH TAR]
  call -X PUT -d "{\"tar_sha256\":\"${5:-$TAR}\",\"sha256\":\"${3:-$SHA}\",\"length\":${4:-$SIZE}}" \
    "$(path_of "$1" "${2:-}")"
}
said() { jq -r "$1" "$TMP/answer"; } # of the last answer
part() { tail -c +$(($2 + 1)) "$1" | head -c "$3"; } # FILE FIRST COUNT
put() { # IMEI FIRST COUNT [curl arguments]; RANGE=: another Content-Range
  part "$TMP/backup" "$2" "$3" |
    call -X PUT -H "Content-Range: ${RANGE-bytes $2-$(($2 + $3 - 1))/$SIZE}" \
      -H 'Expect:' --data-binary @- "${@:4}" "$(path_of "$1")/bytes"
}
states() { ctl --json backups list | jq -c '[.backups[].state]'; }
files() { find "$TMP/backups/files" -type f | wc -l; }

write_conf "$TMP/backups" max_file_bytes=1000000 max_per_gateway=3 max_total_bytes=1500000
start_queryd

# ---- in parts, and the whole of it -------------------------------------------------------------

same 'a backup is wanted' "$(tell $IMEI) $(said .state) $(said .offset)" '202 wanted 0'
same 'its first part is taken' "$(put $IMEI 0 4096) $(said .offset)" '202 4096'
same 'and a longer one' "$(put $IMEI 4096 200000) $(said .offset)" '202 204096'
same 'what is told again goes on from there' "$(tell $IMEI) $(said .offset)" '202 204096'
same 'the operator sees how far it is' "$(ctl --json backups list | jq -c '[.backups[]|[.state,.offset,.length]]')" \
  "[[\"wanted\",204096,$SIZE]]"
check 'also as a table' bash -c "'$BIN/queryctl' --config '$TMP/queryd.conf' backups list | grep -q '204096 of $SIZE'"
check_fails 'half of it is not handed out' ctl backups get $VERSION imei:$IMEI "$TMP/half"
check_fails 'nor left behind' test -e "$TMP/half"
same 'its last part makes it whole' "$(put $IMEI 204096 $((SIZE - 204096))) $(said .state)" '201 held'
same 'then it is known' "$(tell $IMEI) $(said .state)" '200 held'
check 'it comes back' ctl backups get $VERSION imei:$IMEI "$TMP/back"
check 'as it was' cmp "$TMP/backup" "$TMP/back"
check_fails 'an existing file is not overwritten' ctl backups get $VERSION imei:$IMEI "$TMP/back"
same 'a range of it is served' "$(call -r 1000-1999 "$(path_of $IMEI)/bytes")" 206
check 'with the right bytes' cmp "$TMP/answer" <(part "$TMP/backup" 1000 1000)
same 'another gateway need not bring the same bytes' "$(tell $OTHER) $(said .state)" '201 held'
same 'they are there once' "$(files)" 1
same 'whoever says to be that gateway cannot replace it' \
  "$(tell $IMEI $VERSION "$TAR" 5 "${TAR//1/2}") $(said .field)" '409 tar_sha256'

# ---- by reference ------------------------------------------------------------------------------

TARGET=$(find "$REPOSITORY/targets/B" -name '*.tar.xz')
PUBLISHED=$(xz -dc "$TARGET" | sha256sum | cut -d' ' -f1)
same 'what is published need not come' \
  "$(tell $IMEI B202109010001 "${TAR//1/3}" 77 "$PUBLISHED") $(said .state)" '201 held'
same 'the list says where it is' "$(ctl --json backups list --identity imei:$IMEI | jq -c '[.backups[].state]')" \
  '["held","repository"]'
check 'it is the published file' ctl backups get B202109010001 imei:$IMEI "$TMP/published"
check 'to the byte' cmp "$TARGET" "$TMP/published"

# ---- what is wrong -----------------------------------------------------------------------------

NEW=B202108010009
begin_new() { tell $IMEI $NEW "$SHA_NEW"; }
# Other bytes than those that are held already.
head -c $SIZE /dev/urandom >"$TMP/backup"
SHA_NEW=$(hash_of "$TMP/backup")
put_new() { VERSION=$NEW put $IMEI "$@"; }
offset() { begin_new >"$TMP/status" && said .offset; }

same 'nothing is taken that nobody told of' "$(put_new 0 100)" 404
same 'another backup is wanted' "$(begin_new)" 202
same 'a part from the middle is not taken' "$(put_new 4096 100) $(said .offset)" '409 0'
same 'nor one without Content-Range' "$(RANGE='' put_new 0 100)" 400
same 'nor one of another length' "$(RANGE='bytes 0-98/300000' put_new 0 100)" 400
same 'nor one of another whole' "$(RANGE='bytes 0-99/300001' put_new 0 100)" 400
same 'nor one beyond the end' "$(RANGE='bytes 299950-300049/300000' put_new 0 100)" 400
same 'nor one that ends before it begins' "$(RANGE='bytes 99-0/300000' put_new 0 100)" 400
same 'nor one with a number beyond all' "$(RANGE='bytes 0-99999999999999999999999/300000' put_new 0 100)" 400
same 'nothing of these is kept' "$(offset)" 0
same 'chunks that bring more than they say are not taken' \
  "$(RANGE='bytes 0-49/300000' put_new 0 100 -H 'Transfer-Encoding: chunked')" 400
same 'and nothing of them is kept' "$(offset)" 0
same 'chunks that bring less are told' \
  "$(RANGE='bytes 0-199/300000' put_new 0 100 -H 'Transfer-Encoding: chunked')" 400
same 'what came is kept' "$(offset)" 100

cp "$TMP/backup" "$TMP/good"
printf x | dd of="$TMP/backup" bs=1 seek=150000 conv=notrunc status=none
cmp -s "$TMP/good" "$TMP/backup" && printf y | dd of="$TMP/backup" bs=1 seek=150000 conv=notrunc status=none
same 'a wrong byte is found at the end' "$(put_new 100 $((SIZE - 100)))" 422
cp "$TMP/good" "$TMP/backup"
same 'and all begins anew' "$(offset)" 0
same 'nothing of it is left' "$(find "$TMP/backups/parts" -type f | wc -l)" 0

for path in imei/$IMEI/../../../etc/passwd imei/$IMEI/%2e%2e/bytes imei/..%2f..%2fetc/$NEW name/%2e%2e/x/$NEW \
  name/a%2fb/$NEW "imei/$IMEI/$NEW%00" imei/$IMEI/B20210801000%39/../x imei/490154203237519/$NEW "name/a%20b/$NEW" imei/$IMEI/$NEW/files; do
  status=$(call --path-as-is -X PUT -d '{}' "$URL/v1/backups/$path")
  if [[ $status == 40[04] ]]; then ok "no way out by $path"; else fail "no way out by $path" "$status"; fi
done
same 'a backup larger than is taken' "$(tell $OTHER B202108010002 "$SHA_NEW" 1000001)" 413
same 'a body that announces more is refused before it is sent' \
  "$(head -c 20000000 /dev/zero | call -X PUT -H 'Expect: 100-continue' -H 'Content-Range: bytes 0-19999999/20000000' --data-binary @- "$(path_of $IMEI $NEW)/bytes")" 400
same 'the list of all needs the token' "$(call "$URL/v1/admin/backups")" 401
same 'and so does removing' "$(call -X DELETE "$URL/v1/admin/backups/$VERSION/imei:$IMEI")" 401
same 'a part that is no HTTP for long' "$(head -c 100000 /dev/urandom | call -X PUT -H 'Transfer-Encoding: chunked' --data-binary @- "$(path_of $IMEI $NEW)/bytes")" 400
check 'queryd lives on' alive queryd

# Two at once: the second one is told so, and the first is not disturbed.
python3 - "${URL#http://}" "$(path_of $IMEI $NEW)/bytes" "$TMP/backup" $SIZE >"$TMP/two" 2>&1 <<'END'
import http.client, json, sys, time
host, url, file, size = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
data = open(file, 'rb').read()
path = url[url.index('/v1'):]
def begin(body):
    c = http.client.HTTPConnection(host, timeout=20)
    c.putrequest('PUT', path)
    c.putheader('Content-Length', str(size))
    c.putheader('Content-Range', f'bytes 0-{size - 1}/{size}')
    c.endheaders()
    c.send(body)
    return c
def offset():
    c = http.client.HTTPConnection(host, timeout=20)
    c.request('GET', path[:-len('/bytes')])
    return json.load(c.getresponse())['offset']
one = begin(data[:1000])
while offset() < 1000:
    time.sleep(0.01)
status = begin(data).getresponse().status
print(status)
one.send(data[1000:])
print(one.getresponse().status)
END
same 'of two at once one is taken' "$(xargs <"$TMP/two")" '409 201'
same 'a gateway has no more than its number' "$(tell $IMEI B202108010003 "${SHA_NEW/?/0}" 10) $(ctl --json backups list --identity imei:$IMEI | jq '.backups|length')" '202 3'

# ---- cut, killed -------------------------------------------------------------------------------

cut_after() { # BYTES: says that all comes, brings so much, and is gone
  python3 - "${URL#http://}" "$(path_of $OTHER $NEW)/bytes" "$TMP/backup" $SIZE "$1" <<'END'
import socket, sys
host, url, file, size, n = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
name, port = host.split(':')
s = socket.create_connection((name, int(port)), 20)
s.sendall(f'PUT {url[url.index("/v1"):]} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\nContent-Range: bytes 0-{size - 1}/{size}\r\n\r\n'.encode())
s.sendall(open(file, 'rb').read()[:n])
END
}
head -c $SIZE /dev/urandom >"$TMP/backup"
SHA_NEW=$(hash_of "$TMP/backup")
tell_other() { tell $OTHER $NEW "$SHA_NEW"; }
arrived() { tell_other >/dev/null && [[ $(said .offset) == "$1" ]]; }
check 'one more is told of' tell_other
cut_after 70000
check 'of a part that was cut, what came stays' wait_for 5 arrived 70000
# As soon as queryd has noticed that the connection is gone.
taken() { [[ $(VERSION=$NEW put $OTHER 70000 1000) == 202 ]]; }
check 'and more is taken' wait_for 10 taken
check 'from there on' arrived 71000

# kill -9 while bytes come, again and again; then the rest.
size_of_parts() { cat "$TMP"/backups/parts/* 2>/dev/null | wc -c; }
more_than() { (($(size_of_parts) > $1)); }
kill_in_the_middle() {
  local offset sender
  tell_other >/dev/null
  offset=$(said .offset)
  VERSION=$NEW put $OTHER "$offset" $((SIZE - offset)) --limit-rate 100k >/dev/null &
  sender=$!
  wait_for 10 more_than "$offset" && kills=$((kills + 1))
  stop queryd KILL 2>/dev/null
  wait "$sender" 2>/dev/null
  start_queryd
}
kills=0
for _ in 1 2 3; do kill_in_the_middle; done
check "queryd was killed while bytes came ($kills times)" test "$kills" -ge 1
tell_other >/dev/null
at=$(said .offset)
check "what came before is there ($at bytes)" test "$at" -gt 71000
same 'and the rest follows' "$(VERSION=$NEW put $OTHER "$at" $((SIZE - at))) $(said .state)" '201 held'
rm -f "$TMP/back"
check 'what came together is right' ctl backups get $NEW imei:$OTHER "$TMP/back"
check 'to the last byte' cmp "$TMP/backup" "$TMP/back"

# ---- removing ----------------------------------------------------------------------------------

same 'two gateways have the same backup' "$(tell $OTHER B202108010007 "$(hash_of "$TMP/good")") $(said .state)" '201 held'
same 'three files are there' "$(files)" 3
check 'the operator removes one' ctl backups remove $NEW imei:$OTHER
check_fails 'once' ctl backups remove $NEW imei:$OTHER
same 'its bytes go with it' "$(files)" 2
check 'one of the two who have the same removes it' ctl backups remove B202108010007 imei:$OTHER
same 'the bytes stay as long as one has them' "$(files)" 2

# ---- limits, a full disk -----------------------------------------------------------------------

stop queryd
write_conf "$TMP/backups" max_file_bytes=1000000 max_total_bytes=800000
start_queryd
head -c 250000 /dev/urandom >"$TMP/backup"
SIZE=250000
same 'no more in all than is allowed' "$(tell $OTHER B202108010005 "$(hash_of "$TMP/backup")")" 507
stop queryd

full_disk() {
  mkdir -p "$TMP/small"
  mount -t tmpfs -o size=128k tmpfs "$TMP/small"
}
if ((EUID == 0)) && full_disk 2>/dev/null; then
  write_conf "$TMP/small/backups"
  start_queryd
  SHA_NEW=$(hash_of "$TMP/backup")
  VERSION=B202108010006
  same 'on a small disk it is wanted' "$(tell $OTHER $VERSION "$SHA_NEW")" 202
  same 'a part that fits is taken' "$(put $OTHER 0 50000)" 202
  same 'one that does not is refused' "$(put $OTHER 50000 200000)" 507
  tell $OTHER $VERSION "$SHA_NEW" >/dev/null
  at=$(said .offset)
  check 'what came before stays' test "$at" -ge 50000
  same 'it is told in the log' "$(grep -c 'No space left' "$TMP/queryd.log")" 1
  same 'queries are answered all the same' "$(call -d "{\"identity\":{\"type\":\"imei\",\"value\":\"$IMEI\"},\"arch\":\"amd64\",\"programs\":{\"B\":{\"version\":\"B202108010001\"}}}" "$URL/v1/query")" 200
  mount -o remount,size=4m "$TMP/small"
  same 'with room again it goes on' "$(put $OTHER "$at" $((SIZE - at)))" 201
  check 'and the log says so' grep -q 'work again' "$TMP/queryd.log"
  stop queryd
  umount "$TMP/small"
fi

# A directory that cannot be had costs the backups, not the rest.
write_conf /proc/nothing
start_queryd
same 'without its directory queryd keeps none' "$(tell $IMEI)" 404
same 'and answers queries' "$(call -d "{\"identity\":{\"type\":\"imei\",\"value\":\"$IMEI\"},\"arch\":\"amd64\",\"programs\":{\"B\":{\"version\":\"B202108010001\"}}}" "$URL/v1/query")" 200
stop queryd
