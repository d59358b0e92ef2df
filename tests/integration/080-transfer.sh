#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The fetch of a program file from nginx, over HTTP/2 and over HTTP/1.1: how many connections and
# requests it takes, servers that are not what they should be, and kills at random points.
# KILLS=200 makes it so many (default 20); SEED=N repeats a run.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh" "$@"

DRIVER=$BIN/fetch-driver
SEGMENTS=1000 SEGMENT_BYTES=1024
BYTES=$((SEGMENTS * SEGMENT_BYTES))
RATE=40000 # bytes a second for a request; nginx sends so much at once
KILLS=${KILLS:-20} SEED=${SEED:-$RANDOM}

# ---- a file, its list, a server ----------------------------------------------------------------

mkdir "$TMP/www" "$TMP/inbox"
head -c "$BYTES" /dev/urandom >"$TMP/www/file"
cp "$TMP/www/file" "$TMP/original"
SHA256=$(sha256sum "$TMP/original" | cut -d' ' -f1)
check 'a list of its segments is made' eval "'$DRIVER' list '$TMP/original' $SEGMENT_BYTES >'$TMP/list'"

make_certificate() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test-ca \
    -keyout "$TMP/ca.key" -out "$TMP/ca.pem" &&
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost \
      -keyout "$TMP/server.key" -out "$TMP/server.csr" &&
    openssl x509 -req -in "$TMP/server.csr" -CA "$TMP/ca.pem" -CAkey "$TMP/ca.key" -days 2 \
      -CAcreateserial -extfile <(echo 'subjectAltName=IP:127.0.0.1') -out "$TMP/server.pem"
}
check 'a certificate is made' make_certificate

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
H2=$(free_port) H1=$(free_port)
locations() {
  cat <<END
    root $TMP/www;
    location /slow/ { alias $TMP/www/; limit_rate $RATE; }
    location /whole/ { alias $TMP/www/; max_ranges 0; }
    location /gone/ { return 410; }
    location /moved/ { return 302 /file; }
END
}
cat >"$TMP/nginx.conf" <<END
daemon off;
pid $TMP/nginx.pid;
error_log stderr;
events {}
http {
  log_format sent '\$request_uri \$body_bytes_sent';
  access_log $TMP/sent.log sent;
  ssl_protocols TLSv1.2 TLSv1.3;
  ssl_certificate $TMP/server.pem;
  ssl_certificate_key $TMP/server.key;
  client_body_temp_path $TMP/nginx-body;
  proxy_temp_path $TMP/nginx-proxy;
  fastcgi_temp_path $TMP/nginx-fastcgi;
  uwsgi_temp_path $TMP/nginx-uwsgi;
  scgi_temp_path $TMP/nginx-scgi;
  server { listen 127.0.0.1:$H2 ssl http2; $(locations) }
  server { listen 127.0.0.1:$H1 ssl; $(locations) }
}
END
chmod 755 "$TMP" # its workers are another user
start nginx nginx -c "$TMP/nginx.conf"
check 'nginx answers' wait_for 10 curl -fsS --cacert "$TMP/ca.pem" -r 0-0 "https://127.0.0.1:$H2/file"

# get PORT PATH [IN_FLIGHT [REQUEST_SEGMENTS]]: what it says in $TMP/said and $TMP/why, its last line
# in $RESUMED … $RECEIVED
get() {
  local status
  "$DRIVER" get "https://127.0.0.1:$1$2" "$TMP/list" "$SHA256" "$TMP/inbox" "$TMP/ca.pem" "${@:3}" \
    >"$TMP/said" 2>"$TMP/why"
  status=$?
  read -r _ RESUMED FETCHED AGAIN REQUESTS CONNECTIONS RECEIVED < <(tail -n 1 "$TMP/said")
  return $status
}
forget() { rm -f "$TMP"/inbox/*; : >"$TMP/said"; }
is_right() { cmp -s "$TMP/original" "$TMP/inbox/$SHA256.part"; }
refused() { # NAME REASON: the last get failed for it, and nothing wrong was kept
  if grep -q "^$2: " "$TMP/why"; then ok "$1"; else fail "$1" "$(cat "$TMP/why")"; fi
}
between() { # NAME MIN VALUE MAX
  if (($2 <= $3 && $3 <= $4)); then ok "$1 ($3)"; else fail "$1" "$3 is not within $2 and $4"; fi
}

# ---- what it takes -----------------------------------------------------------------------------

for protocol in H2 H1; do
  port=${!protocol}
  forget
  check "$protocol: a file is fetched" get "$port" /file
  check "$protocol: and right" is_right
  between "$protocol: requests" 2 "$REQUESTS" 6
  between "$protocol: connections" 1 "$CONNECTIONS" $((1 + (protocol[0] == H1)))
  between "$protocol: bytes, headers included" "$BYTES" "$RECEIVED" $((BYTES + 3000))
  check "$protocol: again, which costs nothing" get "$port" /file
  between "$protocol: no request" 0 "$REQUESTS" 0
  forget
  check "$protocol: a request for each segment, 8 at a time" get "$port" /file 8 1
  check "$protocol: and right" is_right
  between "$protocol: so many requests" $SEGMENTS "$REQUESTS" $((SEGMENTS + 20))
done

# ---- servers that are not what they should be ----------------------------------------------------

forget
get "$H2" /whole/file
refused 'a server without Range' range-ignored
between 'nothing is taken from it' 0 "$FETCHED" 0
get "$H2" /gone/file
refused 'a file that is gone' server-error
between 'is asked for once' 1 "$REQUESTS" 1
get "$H2" /moved/file
refused 'a redirect that nobody allowed' bad-answer
get "$H1" /whole/file
refused 'HTTP/1.1: a server without Range' range-ignored

# switched NAME REASON COMMAND...: the command changes the file when a part of it has been fetched
switched() {
  local name=$1 reason=$2
  forget
  "$DRIVER" get "https://127.0.0.1:$H2/slow/file" "$TMP/list" "$SHA256" "$TMP/inbox" "$TMP/ca.pem" 1 80 \
    >"$TMP/said" 2>"$TMP/why" &
  wait_for 20 eval "((\$(wc -l <'$TMP/said') > 50))"
  "${@:3}"
  wait $!
  refused "$name" "$reason"
  cp -p "$TMP/original" "$TMP/www/file"
  check "$name: what was right is kept, the rest comes from the right one" get "$H2" /file
  between "$name: kept" 50 "$RESUMED" 200
  check "$name: right in the end" is_right
}
replace() { head -c "$1" /dev/urandom >"$TMP/www/new" && mv "$TMP/www/new" "$TMP/www/file"; }
switched 'another file of the same size' file-changed replace "$BYTES"
switched 'a longer file' file-changed replace "$((BYTES + 1))"
switched 'a shorter file' file-changed replace "$((BYTES - 5000))"

forget
"$DRIVER" get "https://127.0.0.1:$H2/slow/file" "$TMP/list" "$SHA256" "$TMP/inbox" "$TMP/ca.pem" 2 80 \
  >"$TMP/said" 2>"$TMP/why" &
driver=$!
wait_for 20 eval "((\$(wc -l <'$TMP/said') > 50))"
stop nginx
rm -f "$TMP/nginx.pid"
start nginx nginx -c "$TMP/nginx.conf"
if wait $driver; then ok 'a server that is restarted meanwhile'; else fail 'a restarted server' "$(cat "$TMP/why")"; fi
check 'restarted: right in the end' is_right

# A server that falls silent and keeps the connection: another worker takes over, over another one.
forget
LOW_SPEED_SEC=1 "$DRIVER" get "https://127.0.0.1:$H2/slow/file" "$TMP/list" "$SHA256" "$TMP/inbox" \
  "$TMP/ca.pem" 2 80 >"$TMP/said" 2>"$TMP/why" &
driver=$!
wait_for 20 eval "((\$(wc -l <'$TMP/said') > 50))"
# shellcheck disable=SC2154 # set by start
worker=$(pgrep -P "$pid_nginx")
kill -STOP "$worker"
kill -HUP "$pid_nginx"
if wait $driver; then ok 'a server that falls silent'; else fail 'a silent server' "$(cat "$TMP/why")"; fi
kill -KILL "$worker"
check 'silent: right in the end' is_right

# ---- killed at random points ---------------------------------------------------------------------

RANDOM=$SEED
echo "SEED=$SEED KILLS=$KILLS"
kills=0 downloads=0 lost=0 wrong=0 twice=0
while ((kills < KILLS)); do
  port=$((RANDOM % 2 ? H2 : H1)) placed=0 killed=0
  forget
  : >"$TMP/sent.log"
  while :; do
    : >"$TMP/said"
    "$DRIVER" get "https://127.0.0.1:$port/slow/file" "$TMP/list" "$SHA256" "$TMP/inbox" \
      "$TMP/ca.pem" >>"$TMP/said" 2>"$TMP/why" &
    driver=$!
    if ((kills < KILLS)); then
      sleep "0.$(printf '%03d' $((RANDOM % 500)))"
      kill -KILL $driver 2>/dev/null && kills=$((kills + 1)) killed=$((killed + 1))
    fi
    wait $driver 2>/dev/null && break
    placed=$((placed + $(grep -c '^[0-9]' "$TMP/said")))
  done
  downloads=$((downloads + 1))
  read -r _ RESUMED FETCHED AGAIN _ < <(tail -n 1 "$TMP/said")
  ((RESUMED >= placed)) || lost=$((lost + placed - RESUMED))
  ((RESUMED + FETCHED == SEGMENTS && AGAIN == 0)) && is_right || wrong=$((wrong + 1))
  # What the server has sent to a client that is no more, or is on its way to it.
  more=$(awk -v bytes="$BYTES" '{ n += $2 } END { print n - bytes }' "$TMP/sent.log")
  ((more <= killed * 2 * RATE)) || twice=$((twice + 1))
done
between 'kills' "$KILLS" "$kills" "$KILLS"
between 'segments that had been placed and were fetched again' 0 "$lost" 0
between "of $downloads downloads, those that were not right" 0 "$wrong" 0
between 'those that cost more than what was in flight at each kill' 0 "$twice" 0
