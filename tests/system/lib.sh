# shellcheck shell=bash
# A gateway with real systemd in a container, and a site (query server, file server, releases) beside
# it, both in one network namespace of their own that has loopback and nothing else.
#
#   site_up                  keys, repository, certificates, queryd
#   gateway_up               a fresh gateway: packages installed, booted, configured for the site
#   gw COMMAND...            runs a command in the gateway
#   site_down, gateway_down  both are also done when the script ends
#
# Needs root. Everything started here is ended here, by pid.
set -Eeuo pipefail

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BIN=$TOP/build/normal/bin
DEB=$TOP/build/deb
IMAGE=$TOP/build/system/image
ARCH=$(dpkg --print-architecture)
MAKEARGS=(--no-print-directory -s -C "$TOP")

RUN=$(mktemp -d /var/tmp/bms-gateway.XXXXXX)
SITE=$RUN/site
NETNS=bms-$$
CGROUPS=()
SITE_PIDS=()
GW_ROOT=
GW_PID=
GW_LEADER=
PASSED=0 FAILED=0
BROKEN_AT=

# The gateway's identity: the GSMA's example IMEI.
IMEI=490154203237518

# ---- counting ----------------------------------------------------------------------------------

ok() { PASSED=$((PASSED + 1)); printf 'ok      %s\n' "$*"; }
not_ok() { FAILED=$((FAILED + 1)); printf 'NOT OK  %s\n' "$*"; }
# check DESCRIPTION COMMAND...: counts whether the command succeeds.
check() {
  local what=$1
  shift
  if "$@" >"$RUN/check.log" 2>&1; then ok "$what"; else
    not_ok "$what"
    printf '    command: %s\n' "$*"
    sed 's/^/    /' "$RUN/check.log" | tail -n 20
  fi
}
# equal DESCRIPTION EXPECTED ACTUAL: where they differ, $RUN/run.log (the last run of updaterd) is shown.
equal() {
  if [[ $2 == "$3" ]]; then ok "$1"; else
    not_ok "$1"
    printf '    expected: %s\n    got:      %s\n' "$2" "$3"
    if [[ -s $RUN/run.log ]]; then sed 's/^/    | /' "$RUN/run.log" | tail -n 20; fi
  fi
}
# What the runner reads: tests end with it.
finish() {
  if ((FAILED > 0)) && [[ -n $GW_LEADER ]]; then
    echo "--- the gateway's journal (end)"
    gw journalctl --no-pager -n 60 || true
  fi
  echo "$PASSED passed, $FAILED failed"
  ((FAILED == 0 && PASSED > 0))
}
# within SECONDS COMMAND...: tries until it succeeds.
within() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || return 1
    sleep 0.2
  done
}

# ---- ending ------------------------------------------------------------------------------------

end_pid() {
  local pid=$1 signal=${2:-TERM}
  kill -s "$signal" "$pid" 2>/dev/null || return 0
  for _ in $(seq 100); do
    kill -0 "$pid" 2>/dev/null || return 0
    sleep 0.1
  done
  kill -s KILL "$pid" 2>/dev/null || true
}
gateway_down() {
  if [[ -n $GW_LEADER ]]; then
    kill -s RTMIN+4 "$GW_LEADER" 2>/dev/null || true # systemd(1): power off
    within 20 not_alive "$GW_PID" || true
    GW_LEADER=
  fi
  if [[ -n $GW_PID ]]; then
    end_pid "$GW_PID"
    GW_PID=
  fi
  if [[ -n $GW_ROOT ]]; then
    rm -rf "$GW_ROOT"
    GW_ROOT=
  fi
}
not_alive() { ! kill -0 "$1" 2>/dev/null; }
site_down() {
  local pid
  for pid in "${SITE_PIDS[@]}"; do end_pid "$pid"; done
  SITE_PIDS=()
}
cleanup() {
  local status=$?
  trap - EXIT INT TERM
  set +e
  # A script that broke off: finish() tells this otherwise.
  if ((status != 0 && status < 128 && FAILED == 0)); then
    echo "NOT OK  broken off at $BROKEN_AT (exit $status)"
    if [[ -n $GW_LEADER ]]; then
      echo "--- the gateway's journal (end)"
      gw journalctl --no-pager -n 80
    fi
  fi
  gateway_down
  site_down
  ip netns del "$NETNS" 2>/dev/null
  cgroup_down
  rm -rf "$RUN"
  exit "$status"
}
trap cleanup EXIT
trap 'BROKEN_AT="${BASH_SOURCE[0]##*/}:$LINENO: $BASH_COMMAND"' ERR
trap 'exit 130' INT
trap 'exit 143' TERM

# ---- the gateway -------------------------------------------------------------------------------

netns_up() {
  ip netns list | grep -qw "$NETNS" && return
  ip netns add "$NETNS"
  ip -n "$NETNS" link set lo up
}

# A Debian root with what the packages depend on; made once, copied for each gateway.
image_make() {
  mkdir -p "${IMAGE%/*}"
  (
    flock 9
    image_make_locked
  ) 9>"$IMAGE.lock"
}
image_make_locked() {
  local packages=dbus,systemd,systemd-sysv,udev,ca-certificates,libcjson1,libcurl4,libdivsufsort3,libinih1,liblzma5
  packages+=,libssl3,libmicrohttpd12,libsqlite3-0,libsystemd0,procps,xz-utils,${IMAGE_EXTRA:-libmosquitto1,libwebsockets17,libdlt2,libwrap0}
  if [[ -f $IMAGE.packages && $(<"$IMAGE.packages") == "$packages" ]]; then return; fi
  echo "image: making a Debian root for the gateway (once)"
  rm -rf "$IMAGE"
  if ! mmdebstrap --quiet --variant=minbase --include="$packages" bookworm "$IMAGE" \
    >"$IMAGE.log" 2>&1; then
    tail -n 20 "$IMAGE.log" >&2
    return 1
  fi
  printf '%s' "$packages" >"$IMAGE.packages"
}

# Outside systemd (CI machines) there is nobody who could make a scope for the container. Without a
# control group of its own, gateways that run at the same time would stop each other's services.
cgroup_up() {
  local controllers path mounted
  CGROUPS=()
  while IFS=: read -r _ controllers path; do
    case $controllers in
    name=systemd) mounted=/sys/fs/cgroup/systemd ;;
    '') mounted=/sys/fs/cgroup/unified && [[ -d $mounted ]] || mounted=/sys/fs/cgroup ;;
    *) continue ;;
    esac
    CGROUPS+=("$mounted${path%/}/bms-$$")
  done </proc/self/cgroup
  mkdir -p "${CGROUPS[@]}"
}
cgroup_down() {
  ((${#CGROUPS[@]} == 0)) || find "${CGROUPS[@]}" -depth -type d -exec rmdir {} + 2>/dev/null
}

gateway_boot() {
  local scope=()
  if [[ ! -d /run/systemd/system ]]; then
    scope=(--keep-unit)
    cgroup_up
  fi
  (
    for group in "${CGROUPS[@]}"; do echo "$BASHPID" >"$group/cgroup.procs"; done
    exec setsid systemd-nspawn --quiet --boot --register=no "${scope[@]}" --console=pipe \
      --directory="$GW_ROOT" --machine="gateway-$$" --network-namespace-path="/run/netns/$NETNS"
  ) </dev/null >"$RUN/console.log" 2>&1 &
  GW_PID=$!
  within 30 leader_found || { cat "$RUN/console.log" >&2; return 1; }
  within 60 gateway_running || { cat "$RUN/console.log" >&2; return 1; }
}
# The first process of the gateway. On the way to it systemd-nspawn has another child for a moment.
leader_found() {
  for GW_LEADER in $(pgrep -P "$GW_PID"); do
    grep -qsE '^NSpid:.*[0-9]+[[:space:]]+1$' "/proc/$GW_LEADER/status" && return 0
  done
  GW_LEADER=
  return 1
}
# Nothing in the gateway is told, as when the battery is pulled.
power_cut() {
  kill -KILL "$GW_LEADER"
  within 30 not_alive "$GW_PID" || end_pid "$GW_PID" KILL
  GW_LEADER='' GW_PID=''
}
gateway_running() { [[ $(gw systemctl is-system-running 2>/dev/null) =~ ^(running|degraded)$ ]]; }

gw() {
  nsenter -t "$GW_LEADER" --all --root --wd -- env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
    TERM="${TERM:-dumb}" "$@"
}

# gateway_up: an installed and configured gateway, simulated battery board included.
gateway_up() {
  netns_up
  image_make
  GW_ROOT=$RUN/gateway
  cp -a "$IMAGE" "$GW_ROOT"
  echo gateway >"$GW_ROOT/etc/hostname"
  cat >"$GW_ROOT/etc/hosts" <<EOF
127.0.0.1 localhost gateway
127.0.0.1 query.bms.test files.bms.test
EOF
  gateway_board
  # It would ask between two steps of a script. GW_MISSED_TIMER=yes: as the package has it.
  [[ -n ${GW_MISSED_TIMER:-} ]] || ln -s /dev/null "$GW_ROOT/etc/systemd/system/updaterd-missed.timer"
  gateway_boot
  cp "$DEB"/updaterd_*.deb "$DEB"/bmsd_*.deb "$GW_ROOT/root/"
  gateway_configure
  gw sh -c 'dpkg --force-confold -i /root/*.deb' >"$RUN/dpkg.log" 2>&1 || {
    cat "$RUN/dpkg.log" >&2
    return 1
  }
}

# A battery board on a pty, so that bmsd runs the real serial path.
gateway_board() {
  install -m 0755 "$BIN/bms-boardsim" "$GW_ROOT/usr/local/bin/bms-boardsim"
  cat >"$GW_ROOT/etc/systemd/system/bms-boardsim.service" <<'EOF'
[Unit]
Description=Simulated battery board
Before=bmsd.service

[Service]
Type=notify
ExecStart=/usr/local/bin/bms-boardsim --link /run/bms-boardsim/pack0 --cells 13 --current-ma -350 --group dialout
RuntimeDirectory=bms-boardsim
Group=dialout

[Install]
WantedBy=multi-user.target
EOF
  mkdir -p "$GW_ROOT/etc/systemd/system/bmsd.service.d" "$GW_ROOT/etc/systemd/system/multi-user.target.wants"
  ln -s ../bms-boardsim.service "$GW_ROOT/etc/systemd/system/multi-user.target.wants/"
  # The simulated line is a pty, which the unit's device list rightly does not have.
  cat >"$GW_ROOT/etc/systemd/system/bmsd.service.d/pty.conf" <<'EOF'
[Service]
PrivateDevices=no
DeviceAllow=char-pts rw
EOF
  mkdir -p "$GW_ROOT/etc/bmsd"
  cat >"$GW_ROOT/etc/bmsd/bmsd.conf" <<'EOF'
[pack 0]
driver = jbd
device = /run/bms-boardsim/pack0
EOF
}

# The configuration a site would put on its gateways. GW_CONF_EXTRA: more lines for [network].
gateway_configure() {
  mkdir -p "$GW_ROOT/etc/updaterd"
  cp "$SITE/ca.pem" "$GW_ROOT/etc/updaterd/ca.pem"
  cp "$SITE/repo/repository/metadata/1.root.json" "$GW_ROOT/etc/updaterd/root.json"
  cat >"$GW_ROOT/etc/updaterd/updaterd.conf" <<EOF
[server]
url = https://query.bms.test:8443
ca_file = /etc/updaterd/ca.pem
allowed_hosts = files.bms.test

[gateway]
identity_type = imei
identity_value = $IMEI
model = gw1

[network]
network_type = lte-m
attempts = ${GW_ATTEMPTS:-3}
${GW_NETWORK:-}

[program A]
name = updaterd
space = /opt/updaterd
factory = /usr/lib/updaterd/factory
${GW_PROGRAM_A:-}

[program B]
name = bmsd
space = /opt/bmsd
factory = /usr/lib/bmsd/factory
unit = bmsd.service
probe = {release}/bin/bmsd --probe
probe_user = bmsd
settle_sec = ${GW_SETTLE_SEC:-5}
${GW_PROGRAMS:-}
EOF
}

# Which release of a space is current: current_of bmsd
current_of() { gw readlink "/opt/$1/current"; }
# What B says of itself, over D-Bus.
running_version() {
  gw busctl get-property org.bmsgateway.Battery1 /org/bmsgateway/Battery1 org.bmsgateway.Battery1 \
    Version | cut -d'"' -f2
}

# ---- the site ----------------------------------------------------------------------------------

certificate() { # NAME HOST...
  local name=$1 san=
  shift
  for host in "$@"; do san+=${san:+,}DNS:$host; done
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$1" \
    -keyout "$SITE/$name.key" -out "$SITE/$name.csr" 2>/dev/null
  openssl x509 -req -in "$SITE/$name.csr" -CA "$SITE/ca.pem" -CAkey "$SITE/ca.key" -days 30 \
    -extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth\n' "$san") \
    -out "$SITE/$name.pem" 2>/dev/null
}

release() { "$BIN/bms-release" --repo "$SITE/repo" "$@" >>"$SITE/release.log" 2>&1 || { tail -n 5 "$SITE/release.log" >&2; return 1; }; }

# SITE_SERVE=no and SITE_FILES=URL: another file server (nginx, see nginx_up).
site_up() {
  netns_up
  mkdir -p "$SITE"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
    -subj '/CN=CA of this test site' -keyout "$SITE/ca.key" -out "$SITE/ca.pem" 2>/dev/null
  certificate query query.bms.test
  certificate files files.bms.test
  echo 'correct horse battery staple' >"$SITE/passphrase"
  release init --programs A,B,M --passphrase-file "$SITE/passphrase"
  release publish
  queryd_up
}

queryd_up() {
  head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$SITE/token"
  cat >"$SITE/queryd.conf" <<EOF
[listen]
address = 127.0.0.1
port = 8443
cert = $SITE/query.pem
key = $SITE/query.key
unix_socket = $SITE/queryd.sock

[repository]
path = $SITE/repo/repository
trusted_root = $SITE/repo/repository/metadata/1.root.json
serve = ${SITE_SERVE:-yes}
file_server = ${SITE_FILES:-}

[store]
path = $SITE/queryd.db

[admin]
token_file = $SITE/token
EOF
  ip netns exec "$NETNS" "$BIN/queryd" --config "$SITE/queryd.conf" >"$SITE/queryd.log" 2>&1 &
  SITE_PIDS+=($!)
  within 10 test -S "$SITE/queryd.sock" || { cat "$SITE/queryd.log" >&2; return 1; }
}

# The archive, oldest first, as one JSON array.
results() {
  queryctl --json results list --limit 1000 |
    jq -cs '[.[] | if type == "array" then .[] elif has("results") then .results[] else . end]'
}
archived() { results | jq -es "any(.[0][]; $1)" >/dev/null; } # a jq condition on one result
queryctl() { "$BIN/queryctl" --config "$SITE/queryd.conf" "$@"; }

nginx_up() {
  mkdir -p "$SITE/nginx"
  cat >"$SITE/nginx.conf" <<EOF
daemon off;
pid $SITE/nginx/pid;
error_log $SITE/nginx/error.log;
events { worker_connections 64; }
http {
  access_log $SITE/nginx/access.log;
  client_body_temp_path $SITE/nginx/body;
  proxy_temp_path $SITE/nginx/proxy;
  fastcgi_temp_path $SITE/nginx/fastcgi;
  uwsgi_temp_path $SITE/nginx/uwsgi;
  scgi_temp_path $SITE/nginx/scgi;
  server {
    listen 127.0.0.1:9443 ssl http2;
    server_name files.bms.test;
    ssl_certificate $SITE/files.pem;
    ssl_certificate_key $SITE/files.key;
    location /bms/ { alias $SITE/repo/repository/; }
  }
}
EOF
  # nginx drops to www-data, which must be able to read the repository.
  chmod 0755 "$RUN" "$SITE" "$SITE/repo"
  ip netns exec "$NETNS" nginx -e "$SITE/nginx/error.log" -c "$SITE/nginx.conf" &
  SITE_PIDS+=($!)
  within 10 test -s "$SITE/nginx/pid"
}

# ---- releases ----------------------------------------------------------------------------------

# built_tree LETTER VERSION PROGRAM...: a directory with the real programs, built as that version.
built_tree() {
  local letter=$1 version=$2
  local dir=$RUN/trees/$version
  shift 2
  if [[ ! -d $dir ]]; then
    mkdir -p "$dir/bin"
    # Another test may be building the same version.
    (
      flock 9
      make "${MAKEARGS[@]}" V= "tree-$letter" "RELEASE_$letter=$version" >/dev/null
      install -m 0755 -t "$dir/bin" "${@/#/$TOP/build/normal/tree/$version/bin/}"
    ) 9>"$TOP/build/normal/tree.lock"
    strip "$dir"/bin/*
  fi
  echo "$dir"
}
tree_a() { built_tree A "$1" updaterd; }       # VERSION
tree_b() { built_tree B "$1" bmsd bmsd-mqtt; } # VERSION
# tree_script VERSION SCRIPT: a release whose bin/bmsd is a shell script.
tree_script() {
  local dir=$RUN/trees/$1
  mkdir -p "$dir/bin"
  printf '#!/bin/sh\n%s\n' "$2" >"$dir/bin/bmsd"
  chmod 0755 "$dir/bin/bmsd"
  echo "$dir"
}
# tree_a_wrapped VERSION SCRIPT: the real updaterd behind a script that may do something else first; what
# the script lets through goes to $real.
tree_a_wrapped() {
  local dir
  dir=$(tree_a "$1")
  mv "$dir/bin/updaterd" "$dir/bin/updaterd.real"
  # shellcheck disable=SC2016 # it is for that shell
  printf '#!/bin/sh\nreal=$(readlink -f "$0").real\n%s\nexec "$real" "$@"\n' "$2" >"$dir/bin/updaterd"
  chmod 0755 "$dir/bin/updaterd"
  echo "$dir"
}
publish_a() {
  local version=$1 dir=$2
  shift 2
  release add --program A --version "$version" --arch "$ARCH" "$@" "$dir"
  release publish
  sleep 1.1
}
# publish_b VERSION DIR [OPTION...]: adds a release of B and publishes it.
publish_b() {
  local version=$1 dir=$2
  shift 2
  release add --program B --version "$version" --arch "$ARCH" "$@" "$dir"
  release publish
  # queryd looks at the repository once a second at most.
  sleep 1.1
}
