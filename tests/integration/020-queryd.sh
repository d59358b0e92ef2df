#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# queryd with TLS, its Unix socket, a repository made by bms-release, and nginx in front: every call,
# what is wrong in a request, kills.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh" "$@"

IMEI=490154203237518
OTHER=356938035643809
SOCKET=$TMP/queryd.sock
NOTHING='{"new":[]}'

# ---- a repository, a certificate, a configuration ----------------------------------------------

release() { "$BIN/bms-release" "$1" --repo "$TMP/repo" --passphrase-file "$TMP/passphrase" "${@:2}"; }

add_version() { # VERSION: 20 KB that differ from version to version
  local dir=$TMP/tree/$1
  mkdir -p "$dir/bin"
  head -c 20000 /dev/urandom >"$dir/bin/program"
  chmod 755 "$dir/bin/program"
  release add --program "${1:0:1}" --version "$1" --arch amd64 "$dir" >/dev/null
}

publish() { release publish >/dev/null; }

echo 'a passphrase for the test' >"$TMP/passphrase"
check 'a repository is made' release init --programs A,B
add_version B202109010001
add_version A202109010001
check 'and published' publish
REPOSITORY=$TMP/repo/repository
cp "$REPOSITORY/metadata/1.root.json" "$TMP/root.json"

make_certificate() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test-ca \
    -keyout "$TMP/ca.key" -out "$TMP/ca.pem" &&
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost \
      -keyout "$TMP/server.key" -out "$TMP/server.csr" &&
    openssl x509 -req -in "$TMP/server.csr" -CA "$TMP/ca.pem" -CAkey "$TMP/ca.key" -days 2 \
      -CAcreateserial -extfile <(echo 'subjectAltName=IP:127.0.0.1,DNS:localhost') \
      -out "$TMP/server.pem"
}
check 'a certificate is made' make_certificate

write_conf() { # more lines of [repository]
  cat >"$TMP/queryd.conf" <<END
[listen]
address=127.0.0.1
port=0
cert=$TMP/server.pem
key=$TMP/server.key
unix_socket=$SOCKET
[repository]
path=$REPOSITORY
trusted_root=$TMP/root.json
$(printf '%s\n' "$@")
[store]
path=$TMP/queryd.db
[admin]
token_file=$TMP/token
END
}

# ---- asking ------------------------------------------------------------------------------------

fetch() { curl -sS --max-time 20 --cacert "$TMP/ca.pem" "$@"; }

query_body() { # IMEI VERSION-OF-B
  printf '{"identity":{"type":"imei","value":"%s"},"arch":"amd64","programs":{"B":{"version":"%s"}}}' "$@"
}

ask() { fetch -d "$(query_body "$@")" "$URL/v1/query"; }

# The whole answer but its date.
ask_raw() { fetch -i -d "$(query_body "$@")" "$URL/v1/query" | grep -v '^Date:'; }

status_of() { fetch -o "$TMP/answer" -w '%{http_code}' "$@"; }

same() { # NAME GOT EXPECTED
  if [[ $2 == "$3" ]]; then ok "$1"; else fail "$1" "'$2' instead of '$3'"; fi
}

# Bytes from standard input as they are to the Unix socket, then nothing more; the answer to stdout.
raw() {
  python3 -c '
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(20)
s.connect(sys.argv[1])
try:
    s.sendall(sys.stdin.buffer.read())
    s.shutdown(socket.SHUT_WR)
    while data := s.recv(65536):
        sys.stdout.buffer.write(data)
except (ConnectionError, TimeoutError):
    pass
' "$SOCKET"
}

result_body() { # TXID [MEMBER=JSON...]
  local member body
  body=$(printf '{"txid":"%s","identity":{"type":"imei","value":"%s"},"program":"B","kind":"upgrade","from":"B202108010001","to":"B202109010001","outcome":"confirmed","step":"confirm","reason":"none","duration_ms":48211' \
    "$1" "$IMEI")
  for member in "${@:2}"; do body+=",\"${member%%=*}\":${member#*=}"; done
  printf '%s}' "$body"
}

put_result() { status_of -X PUT -d "$(result_body "$@")" "$URL/v1/results/$1"; }

# ---- the command line --------------------------------------------------------------------------

write_conf
check 'a good configuration is good' "$BIN/queryd" --config "$TMP/queryd.conf" --check-config
write_conf 'fileserver=https://x'
"$BIN/queryd" --config "$TMP/queryd.conf" --check-config 2>"$TMP/complaint"
same 'an unknown key is refused' $? 1
check 'and named' grep -q fileserver "$TMP/complaint"
"$BIN/queryd" --nonsense 2>/dev/null
same 'wrong usage of queryd is exit status 2' $? 2
"$BIN/queryctl" --config "$TMP/queryd.conf" blacklist 2>/dev/null
same 'wrong usage of queryctl is exit status 2' $? 2
write_conf
check_fails 'queryctl without a server fails' ctl releases list
check 'queryd --help' "$BIN/queryd" --help
check 'queryctl --version' "$BIN/queryctl" --version

# ---- queries -----------------------------------------------------------------------------------

start_queryd
OFFER='{"new":[{"program":"B","version":"B202109010001","target":"B/B202109010001-amd64.tar.xz"}]}'
same 'an older version is offered the new one' "$(ask $IMEI B202108010001)" "$OFFER"
same 'the same version is offered nothing' "$(ask $IMEI B202109010001)" "$NOTHING"
same 'a newer version is offered nothing' "$(ask $IMEI B202209010001)" "$NOTHING"
same 'A is offered before B' \
  "$(fetch -d "{\"identity\":{\"type\":\"name\",\"value\":\"x\"},\"arch\":\"amd64\",\"programs\":{\"B\":{\"version\":\"B202108010001\"},\"A\":{\"version\":\"A202108010001\"},\"C\":{\"version\":\"C202108010001\"}}}" "$URL/v1/query" | jq -c '[.new[].version]')" \
  '["A202109010001","B202109010001"]'
same 'another architecture is offered nothing' \
  "$(query_body $IMEI B202108010001 | sed s/amd64/arm64/ | fetch -d @- "$URL/v1/query")" "$NOTHING"
ask_raw $IMEI B202109010001 >"$TMP/same-version"
check 'a gateway goes on the blacklist' ctl blacklist add B202109010001 imei:$IMEI --note 'a test'
ask_raw $IMEI B202108010001 >"$TMP/blacklisted"
check 'blacklisted and up to date are the same bytes' cmp "$TMP/same-version" "$TMP/blacklisted"
same 'another gateway is not on it' "$(ask $OTHER B202108010001)" "$OFFER"
check 'it comes off the blacklist' ctl blacklist remove B202109010001 imei:$IMEI
same 'and is offered the version again' "$(ask $IMEI B202108010001)" "$OFFER"
check_fails 'removing what is not there fails' ctl blacklist remove B202109010001 imei:$IMEI

# ---- wrong requests ----------------------------------------------------------------------------

GOOD=$(query_body $IMEI B202108010001)
wrong() { # NAME STATUS FIELD BODY
  local status
  status=$(printf '%s' "$4" | status_of --data-binary @- "$URL/v1/query")
  same "$1" "$status $(jq -r '.field // ""' "$TMP/answer")" "$2 $3"
}
wrong 'an empty body' 400 '' ''
wrong 'no JSON' 400 '' 'hello'
wrong 'half of the JSON' 400 '' "${GOOD:0:60}"
wrong 'bytes after the JSON' 400 '' "$GOOD$GOOD"
wrong 'an array' 400 '' '[]'
wrong 'an object without anything' 400 identity '{}'
wrong 'a number for identity' 400 identity '{"identity":1}'
wrong 'an unknown type of identity' 400 identity.type "${GOOD/imei/serial}"
wrong 'a number for the IMEI' 400 identity.value "${GOOD/\"$IMEI\"/$IMEI}"
wrong 'a wrong check digit' 400 identity.value "${GOOD/$IMEI/490154203237519}"
wrong 'no arch' 400 arch "${GOOD/\"arch\":\"amd64\",/}"
wrong 'an arch in capitals' 400 arch "${GOOD/amd64/AMD64}"
wrong 'programs as a list' 400 programs "${GOOD/{\"B\"*/[]\}}"
wrong 'a program in small letters' 400 programs.b "${GOOD/\"B\"/\"b\"}"
wrong 'no version' 400 programs.B.version "${GOOD/\"version\"*/\}\}\}}"
wrong 'a version of another program' 400 programs.B.version "${GOOD/B2021/A2021}"
wrong 'a day that does not exist' 400 programs.B.version "${GOOD/B20210801/B20210230}"
wrong 'a member that nobody knows' 400 colour "${GOOD/\{/\{\"colour\":1,}"
wrong 'a member twice' 400 '' "${GOOD/\"arch\"/\"arch\":\"amd64\",\"arch\"}"
wrong 'a fraction' 400 '' "${GOOD/\{/\{\"model\":1.5,}"
wrong 'a NUL in a string' 400 '' "${GOOD/amd64/\\u0000}"
wrong 'invalid UTF-8' 400 '' "${GOOD/amd64/$'\xff'}"
deep=$(printf '[%.0s' {1..2000})
wrong 'two thousand brackets' 400 '' "$deep"
same 'the check digit is told in words' \
  "$(fetch -d "${GOOD/$IMEI/490154203237519}" "$URL/v1/query")" \
  '{"error":"identity.value: not a valid IMEI (the check digit is wrong)","field":"identity.value"}'

same 'GET of the query is 405' "$(status_of "$URL/v1/query")" 405
same 'with Allow' "$(fetch -D - -o /dev/null "$URL/v1/query" | tr -d '\r' | sed -n 's/^Allow: //p')" POST
same 'an unknown path is 404' "$(status_of "$URL/v1/nothing")" 404
same 'no length is 411' "$(status_of -X POST "$URL/v1/query")" 411
printf -v padding '%*s' $((16384 - ${#GOOD})) ''
same 'a body of exactly 16 KiB is read' \
  "$(printf '%s' "$GOOD$padding" | status_of --data-binary @- "$URL/v1/query")" 200
same 'one byte more is 413' \
  "$(printf '%s' "$GOOD$padding " | status_of --data-binary @- "$URL/v1/query")" 413
same 'the same in chunks is 413' \
  "$(printf '%s' "$GOOD$padding " | status_of -H 'Transfer-Encoding: chunked' --data-binary @- "$URL/v1/query")" 413
same 'chunks that are not too large are read' \
  "$(printf '%s' "$GOOD" | status_of -H 'Transfer-Encoding: chunked' --data-binary @- "$URL/v1/query")" 200
same 'ten megabytes announced are 413 before they are sent' \
  "$(head -c 10000000 /dev/zero | status_of -H 'Expect: 100-continue' --data-binary @- "$URL/v1/query")" 413
head -c 10000000 /dev/zero | fetch -H 'Transfer-Encoding: chunked' -H 'Expect:' --data-binary @- \
  -o /dev/null "$URL/v1/query" 2>/dev/null
check 'ten megabytes in chunks do not hurt' alive queryd

printf 'POST /v1/query HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n%s' "$GOOD" | raw >"$TMP/raw"
check_fails 'a body cut short is not answered with an offer' grep -q '"new"' "$TMP/raw"
printf 'POST /v1/query HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n%s' "$GOOD" | raw >"$TMP/raw"
check_fails 'a negative length is not answered with an offer' grep -q '"new"' "$TMP/raw"
printf 'POST /v1/query HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n' | raw >"$TMP/raw"
check 'an absurd length is refused' grep -Eq '^HTTP/1.1 4' "$TMP/raw"
{ printf 'GET / HTTP/1.1\r\nHost: x\r\n' && head -c 200000 /dev/zero | tr '\0' x; } | raw >"$TMP/raw"
check_fails 'endless headers are not answered with 200' grep -q 'HTTP/1.1 200' "$TMP/raw"
head -c 100000 /dev/urandom | raw >/dev/null
check 'queryd lives on after noise' alive queryd
same 'and answers' "$(ask $IMEI B202108010001)" "$OFFER"

# ---- TLS ---------------------------------------------------------------------------------------

check_fails 'TLS 1.1 is refused' fetch --tlsv1.1 --tls-max 1.1 --ciphers DEFAULT@SECLEVEL=0 "$URL/v1/query"
check 'TLS 1.2 is served' fetch --tlsv1.2 --tls-max 1.2 "$URL/v1/query"
check 'TLS 1.3 is served' fetch --tlsv1.3 "$URL/v1/query"
check_fails 'plain HTTP is not served there' fetch -f "http${URL#https}/metadata/timestamp.json"
same 'connections are kept' \
  "$(fetch -o /dev/null -w '%{num_connects}' -d "$GOOD" "$URL/v1/query" --next -sS --cacert "$TMP/ca.pem" -o /dev/null -w '%{num_connects}' -d "$GOOD" "$URL/v1/query")" 10

# ---- results -----------------------------------------------------------------------------------

ONE=6b1f0c1e-0d6b-4f6e-9a51-000000000001
same 'a result is archived' "$(put_result $ONE 'battery={"soc":77}')" 201
same 'the same again is good' "$(put_result $ONE 'battery={"soc":77}')" 200
same 'another body is answered alike' "$(put_result $ONE 'battery={"soc":11}')" 200
same 'the first stays, with what queryd does not know' \
  "$(ctl --json results list | jq -c '[.results[]|[.id,.battery.soc,.reason]]')" '[[1,77,"none"]]'
same 'a txid that is not that of the path' \
  "$(status_of -X PUT -d "$(result_body $ONE)" "$URL/v1/results/${ONE%1}2") $(jq -r .field "$TMP/answer")" '400 txid'
same 'a txid that is none' "$(status_of -X PUT -d "$(result_body x)" "$URL/v1/results/x")" 400
wrong_result() { # NAME FIELD FROM TO
  local txid=6b1f0c1e-0d6b-4f6e-9a51-0000000000ff body
  body=$(result_body $txid)
  same "$1" "$(status_of -X PUT -d "${body/$3/$4}" "$URL/v1/results/$txid") $(jq -r '.field // ""' "$TMP/answer")" "400 $2"
}
wrong_result 'an outcome that is no word' outcome '"confirmed"' '"splendid"'
wrong_result 'a step that is no word' step '"confirm"' '"jump"'
wrong_result 'a reason that is no word' reason '"none"' '"bad luck"'
wrong_result 'a duration as text' duration_ms 48211 '"long"'
wrong_result 'a negative duration' duration_ms 48211 -1
wrong_result 'a kind that is none' kind upgrade downgrade
wrong_result 'a version of another program' from '"B202108' '"A202108'
same 'none of these was archived' "$(ctl --json results list --limit 0 | jq '.results|length')" 1

# ---- the repository ----------------------------------------------------------------------------

NAME=$(cd "$REPOSITORY/targets" && echo B/*.B202109010001-amd64.tar.xz)
FILE=$REPOSITORY/targets/$NAME
SIZE=$(stat -c %s "$FILE")
part() { fetch -D "$TMP/headers" -o "$TMP/part" -w '%{http_code}' "$@" "$URL/targets/$NAME"; }
header() { tr -d '\r' <"$TMP/headers" | sed -n "s/^$1: //Ip"; }
bytes() { tail -c +$(($1 + 1)) "$FILE" | head -c "$2"; } # FIRST COUNT
same 'a file is served' "$(part)" 200
check 'whole' cmp "$TMP/part" "$FILE"
ETAG=$(header etag) DATE=$(header last-modified)
same 'a range is served' "$(part -r 4096-8191)" 206
check 'with the right bytes' cmp "$TMP/part" <(bytes 4096 4096)
same 'and told' "$(header content-range)" "bytes 4096-8191/$SIZE"
same 'a suffix is served' "$(part -r -100)" 206
check 'with the right bytes, too' cmp "$TMP/part" <(tail -c 100 "$FILE")
same 'an open range is served' "$(part -r $((SIZE - 7))-) $(stat -c %s "$TMP/part")" '206 7'
same 'a range beyond the end is 416' "$(part -r "$SIZE-")" 416
same 'which tells the size' "$(header content-range)" "bytes */$SIZE"
same 'several ranges are answered with all' "$(part -r 0-1,5-6)" 200
same 'If-Range with the ETag' "$(part -r 0-9 -H "If-Range: $ETAG")" 206
same 'If-Range with the date' "$(part -r 0-9 -H "If-Range: $DATE")" 206
same 'If-Range of another file' "$(part -r 0-9 -H 'If-Range: "x"')" 200
same 'If-None-Match' "$(part -H "If-None-Match: $ETAG")" 304
same 'HEAD' "$(fetch -I "$URL/targets/$NAME" | tr -d '\r' | sed -n 's/^Content-Length: //p')" "$SIZE"
echo secret >"$TMP/repo/secret"
ln -s ../../settings.json "$REPOSITORY/metadata/link.json"
for path in metadata/../../settings.json targets/../../settings.json metadata/%2e%2e/%2e%2e/settings.json \
  metadata//etc/passwd metadata/link.json metadata/ targets/B metadata/timestamp.json/x; do
  same "no way out by $path" "$(status_of --path-as-is "$URL/$path")" 404
done
rm "$REPOSITORY/metadata/link.json"
same 'a file cannot be put' "$(status_of -X PUT -d x "$URL/metadata/x.json")" 405

# ---- administration ----------------------------------------------------------------------------

same 'administration needs the token' "$(status_of "$URL/v1/admin/gateways")" 401
same 'the right one' "$(status_of -H 'Authorization: Bearer 0123456789abcdef' "$URL/v1/admin/gateways")" 401
same 'and works with it over TLS' "$(status_of -H "Authorization: Bearer $(cat "$TMP/token")" "$URL/v1/admin/gateways")" 200
same 'the token is for its owner only' "$(stat -c %a "$TMP/token")" 600
same 'releases are listed' "$(ctl --json releases list | jq -r '.releases[].version' | xargs)" \
  'A202109010001 B202109010001'
same 'gateways are listed' "$(ctl --json gateways list | jq -c '[.gateways[]|.identity.value]')" \
  "[\"$OTHER\",\"$IMEI\",\"x\"]"
ctl gateways list >"$TMP/gateways"
check 'as a table for people' grep -q "^imei:$IMEI  amd64  -  *B202108010001  *20" "$TMP/gateways"
ctl blacklist add B202109010001 imei:490154203237519 2>/dev/null
same 'a wrong IMEI does not reach the blacklist' "$? $(ctl --json blacklist list)" '2 {"blacklist":[]}'
for ((i = 0; i < 130; i++)); do
  printf 'url="%s/v1/results/6b1f0c1e-0d6b-4f6e-9a52-%012d"\nrequest=PUT\noutput="/dev/null"\ndata="%s"\nnext\nsilent\ncacert="%s"\n' \
    "$URL" "$i" "$(result_body "6b1f0c1e-0d6b-4f6e-9a52-$(printf %012d "$i")" | sed 's/"/\\"/g')" "$TMP/ca.pem"
done | sed '$d' | sed '$d' | sed '$d' >"$TMP/curl.conf"
check '130 results over one connection' fetch -K "$TMP/curl.conf"
same 'queryctl follows the pages' "$(ctl --json results list --limit 0 | jq -c '[.results[].id]==[range(1;132)]')" true
same 'and stops where it is told' "$(ctl --json results list --limit 105 | jq -c '[.results[].id]==[range(27;132)]')" true
same 'results are found by gateway' "$(ctl --json results list --identity imei:$OTHER)" '{"results":[]}'
same 'and by program' "$(ctl --json results list --program A)" '{"results":[]}'

# ---- publishing while it runs ------------------------------------------------------------------

offered() { [[ $(ask $IMEI B202108010001 | jq -r '.new[0].version') == "$1" ]]; }
add_version B202109020001
publish
check 'a publication is noticed without a restart' wait_for 5 offered B202109020001
check 'the new version has its own blacklist' ctl blacklist add B202109020001 imei:$IMEI
same 'nothing in between is offered' "$(ask $IMEI B202108010001)" "$NOTHING"
ctl blacklist remove B202109020001 imei:$IMEI >/dev/null

# As publishing does it: whole, or not at all.
put_timestamp() { cp "$1" "$REPOSITORY/timestamp.new" && mv "$REPOSITORY/timestamp.new" "$REPOSITORY/metadata/timestamp.json"; }
refusals() { grep -c 'is not used as it is now' "$TMP/queryd.log"; }
cp "$REPOSITORY/metadata/timestamp.json" "$TMP/timestamp.json"
sed 's/"version":2/"version":9/' "$TMP/timestamp.json" >"$TMP/forged.json"
check_fails 'a forged timestamp' cmp -s "$TMP/timestamp.json" "$TMP/forged.json"
put_timestamp "$TMP/forged.json"
check 'is refused' wait_for 5 grep -q 'is not used as it is now' "$TMP/queryd.log"
# shellcheck disable=SC2154 # start() sets it
kill -HUP "$pid_queryd"
wait_for 5 grep -q SIGHUP "$TMP/queryd.log"
check 'the last good releases stay' offered B202109020001
same 'and it is logged once' "$(refusals)" 1
put_timestamp "$TMP/timestamp.json"
add_version B202109030001
publish
check 'a good repository is used again' wait_for 5 offered B202109030001

# ---- behind nginx ------------------------------------------------------------------------------

NGINX_PORT=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >"$TMP/nginx.conf" <<END
daemon off;
pid $TMP/nginx.pid;
error_log stderr;
events {}
http {
  access_log off;
  client_body_temp_path $TMP/nginx-body;
  proxy_temp_path $TMP/nginx-proxy;
  fastcgi_temp_path $TMP/nginx-fastcgi;
  uwsgi_temp_path $TMP/nginx-uwsgi;
  scgi_temp_path $TMP/nginx-scgi;
  upstream queryd { server unix:$SOCKET; keepalive 4; }
  server {
    listen 127.0.0.1:$NGINX_PORT ssl http2;
    ssl_certificate $TMP/server.pem;
    ssl_certificate_key $TMP/server.key;
    client_max_body_size 64k;
    location / { proxy_pass http://queryd; proxy_http_version 1.1; proxy_set_header Connection ""; }
    location /targets/ { root $REPOSITORY; }
  }
}
END
chmod 755 "$TMP" # its workers are another user
direct=$URL
start nginx nginx -c "$TMP/nginx.conf"
URL=https://127.0.0.1:$NGINX_PORT
check 'a query through nginx' wait_for 10 offered B202109030001
same 'a wrong one' "$(status_of -d '{}' "$URL/v1/query") $(jq -r .field "$TMP/answer")" '400 identity'
same 'a large one' "$(head -c 20000 /dev/zero | status_of --data-binary @- "$URL/v1/query")" 413
same 'a result through nginx' "$(put_result 6b1f0c1e-0d6b-4f6e-9a53-000000000001)" 201
same 'again' "$(put_result 6b1f0c1e-0d6b-4f6e-9a53-000000000001)" 200
same 'a range through nginx' "$(fetch -r 0-9 -o "$TMP/part" -w '%{http_code}' "$URL/metadata/timestamp.json")" 206
same 'a range from nginx itself' "$(part -r 100-199)" 206
check 'with the same bytes' cmp "$TMP/part" <(bytes 100 100)
stop nginx
URL=$direct

# ---- stopping ----------------------------------------------------------------------------------

# A request whose body comes after the signal is still answered.
python3 - "$SOCKET" "$pid_queryd" >"$TMP/drained" 2>&1 <<'END'
import os, signal, socket, sys, time
body = sys.argv[0] and b'{}'
s = socket.socket(socket.AF_UNIX)
s.settimeout(20)
s.connect(sys.argv[1])
s.sendall(b'POST /v1/query HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n')
print(s.recv(1000).decode())  # 100 Continue: the request has begun
os.kill(int(sys.argv[2]), signal.SIGTERM)
while os.path.exists(sys.argv[1]):  # it has taken the signal when its socket is gone
    time.sleep(0.01)
s.sendall(body)
print(s.recv(4000).decode())
END
check 'a request that has begun is answered after SIGTERM' grep -q '"identity"' "$TMP/drained"
check 'and the connection ends' grep -qi '^connection: close' "$TMP/drained"
wait "$pid_queryd"
same 'queryd ends with status 0' $? 0
check_fails 'its socket is gone' test -e "$SOCKET"

# ---- kills while results come in ---------------------------------------------------------------

# Puts results until the server is gone; each that was answered 201 is noted.
put_until_killed() { # WRITER: three hex digits
  local i txid
  for ((i = 0; ; i++)); do
    txid=$(printf '6b1f0c1e-0d6b-4f6e-9%s-%012d' "$1" "$i")
    [[ $(curl -sS --max-time 20 --unix-socket "$SOCKET" -o /dev/null -w '%{http_code}' -X PUT \
      -d "$(result_body "$txid" 'padding="'"$(printf 'x%.0s' {1..2000})"'"')" \
      "http://queryd/v1/results/$txid" 2>/dev/null) == 201 ]] || return 0
    echo "$txid"
  done
}
enough() { (($(cat "$TMP"/acknowledged.* 2>/dev/null | wc -l) >= $1)); }
for round in 1 2 3; do
  start_queryd
  writers=()
  for writer in a b c; do
    put_until_killed "0$round$writer" >>"$TMP/acknowledged.$writer" 2>/dev/null &
    writers+=($!)
  done
  wait_for 30 enough $((round * 40)) || fail 'results come in'
  stop queryd KILL
  wait "${writers[@]}"
done
start_queryd
ctl --json results list --limit 0 | jq -r '.results[]|select(.padding|length==2000)?|.txid' | sort >"$TMP/archived"
sort "$TMP"/acknowledged.? >"$TMP/acknowledged"
same 'every result that was acknowledged is there after three kills' \
  "$(comm -23 "$TMP/acknowledged" "$TMP/archived" | wc -l)" 0
check 'and they are many' test "$(wc -l <"$TMP/acknowledged")" -ge 120
check 'each is whole' test "$(sqlite3 "$TMP/queryd.db" 'SELECT count(*) FROM results WHERE NOT json_valid(body)')" = 0
same 'the database is whole' "$(sqlite3 "$TMP/queryd.db" 'PRAGMA integrity_check')" ok
check_fails 'a second queryd does not take the socket' timeout 20 "$BIN/queryd" --config "$TMP/queryd.conf"
same 'and the first goes on' "$(ctl --json releases list | jq '.releases|length')" 4
stop queryd
same 'queryd ends with status 0 again' $? 0

# ---- the split: another file server; systemd's readiness ---------------------------------------

write_conf 'file_server=https://files.example.com/bms' 'serve=no'
python3 - "$TMP/notify" >"$TMP/notified" <<'END' &
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
s.settimeout(60)
while True:
    text = s.recv(4096).decode()
    print(text, flush=True)
    if 'STOPPING=1' in text:
        break
END
listener=$!
wait_for 10 test -S "$TMP/notify"
export NOTIFY_SOCKET=$TMP/notify WATCHDOG_USEC=400000
start_queryd
unset NOTIFY_SOCKET WATCHDOG_USEC
same 'an offer names the file server' "$(ask $IMEI B202108010001 | jq -r .file_server)" https://files.example.com/bms
same 'nothing new does not' "$(ask $IMEI B202109030001)" "$NOTHING"
same 'the repository is not served' "$(status_of "$URL/metadata/timestamp.json")" 404
check 'READY is told' wait_for 5 grep -q '^READY=1' "$TMP/notified"
check 'the watchdog is fed' wait_for 5 grep -q '^WATCHDOG=1' "$TMP/notified"
stop queryd
wait "$listener"
check 'STOPPING is told' grep -q '^STOPPING=1' "$TMP/notified"
