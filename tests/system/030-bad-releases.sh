#!/bin/bash
# Bad releases of every kind: each is refused or rolled back with its own reason in the log and in
# the archive, B running afterwards.
. "$(dirname "$0")/lib.sh"

GW_SETTLE_SEC=4
site_up
gateway_up

day=20211001
serial=0
next_version() {
  serial=$((serial + 1))
  VERSION=$(printf 'B%s%04d' "$day" "$serial")
}
result_of() { # VERSION FIELD
  results | jq -r --arg version "$1" "[.[] | select(.to == \$version)][0].$2"
}
old=B202108010001

# bad NAME OUTCOME REASON: one run against what was just published as $VERSION.
bad() {
  local name=$1 outcome=$2 reason=$3 status=0
  gw updaterd >"$RUN/run.log" 2>&1 || status=$?
  equal "$name: outcome" "$outcome" "$(result_of "$VERSION" outcome)"
  equal "$name: reason" "$reason" "$(result_of "$VERSION" reason)"
  equal "$name: exit code" 1 "$status"
  equal "$name: the archive knows what runs" "$old" "$(result_of "$VERSION" versions.B)"
  equal "$name: and so does the list of gateways" "$old" \
    "$(queryctl --json gateways list | jq -r '.gateways[0].versions.B')"
  check "$name: the log says why" grep -q -- "$reason" "$RUN/run.log"
  equal "$name: current is the old version" "releases/$old" "$(current_of bmsd)"
  check "$name: B runs" within 15 gw bmsd --status
  equal "$name: B is the old version" "$old" \
    "$(running_version)"
  withdraw
}
# Nothing of this release may be offered to the next case: a version of its own, blacklisted.
withdraw() { queryctl blacklist add "$VERSION" "imei:$IMEI" >/dev/null; }

# ---- what runs badly ---------------------------------------------------------------------------

next_version
publish_b "$VERSION" "$(tree_script "$VERSION" 'exit 1')"
bad "exits at once" rolled_back exited

next_version
publish_b "$VERSION" "$(tree_script "$VERSION" 'exec sleep 1000')"
bad "never gets ready" rolled_back not-ready

next_version
mkdir -p "$RUN/trees/$VERSION/bin"
cc -o "$RUN/trees/$VERSION/bin/bmsd" "$TOP/tests/system/crasher.c" -lsystemd
publish_b "$VERSION" "$RUN/trees/$VERSION"
bad "ready, then crashes" rolled_back crashed

next_version
tree=$RUN/trees/$VERSION
cp -a "$(tree_b B202110019999)" "$tree"
publish_b "$VERSION" "$tree"
bad "another version inside" rolled_back wrong-version

# It runs, it is ready, but it cannot reach the battery that the old one reached.
next_version
tree=$(tree_b "$VERSION")
mv "$tree/bin/bmsd" "$tree/bin/bmsd.real"
printf '[pack 0]\ndriver = jbd\ndevice = /dev/no-such-line\n' >"$tree/wrong.conf"
cat >"$tree/bin/bmsd" <<'EOF'
#!/bin/sh
exec "${0%/*}/bmsd.real" --config "$(readlink -f "${0%/*}/../wrong.conf")" "$@"
EOF
chmod 0755 "$tree/bin/bmsd"
publish_b "$VERSION" "$tree"
bad "health worse than before" rolled_back unhealthy

# ---- what must not even be unpacked ------------------------------------------------------------

hostile() { # KIND: a tar that the release tool publishes as it is
  next_version
  python3 "$TOP/tests/system/hostile-tar.py" "$1" "$VERSION" "$ARCH" "$RUN/$1.tar"
  release add --program B --version "$VERSION" --arch "$ARCH" --tar "$RUN/$1.tar"
  release publish
  sleep 1.1
}
for kind in escape absolute; do
  hostile "$kind"
  bad "tar: $kind" refused tar-escape
done
for kind in symlink hardlink; do
  hostile "$kind"
  bad "tar: $kind" refused tar-link
done
hostile setuid
bad "tar: setuid" refused tar-setid
hostile device
bad "tar: device" refused tar-special
hostile extra
bad "tar: a file that release.json does not have" refused tar-content

# ---- what is not what was signed ---------------------------------------------------------------

target_file() { ls "$SITE"/repo/repository/targets/B/*."$VERSION-$ARCH.tar.xz"; }
next_version
publish_b "$VERSION" "$(tree_b "$VERSION")"
printf 'XXXX' | dd of="$(target_file)" bs=1 seek=3000 conv=notrunc status=none
bad "a wrong byte in the program file" failed segment-hash

next_version
publish_b "$VERSION" "$(tree_b "$VERSION")"
cp "$SITE/repo/repository/metadata/timestamp.json" "$RUN/timestamp.good"
jq -c '.signatures[0].sig |= ("00" + .[2:])' "$RUN/timestamp.good" >"$SITE/repo/repository/metadata/timestamp.json"
bad "a wrong signature" refused bad-signature
cp "$RUN/timestamp.good" "$SITE/repo/repository/metadata/timestamp.json"

# The query server is the attacker here: it offers what the gateway must not take.
listens() { [[ -n $(ip netns exec "$NETNS" ss -ltnH "sport = :$1") ]]; }
attack() { # OFFER-JSON
  printf '%s' "$1" >"$RUN/offer.json"
  ip netns exec "$NETNS" python3 "$TOP/tests/system/hostile-query.py" "$SITE/files.pem" "$SITE/files.key" 127.0.0.1 9444 \
    "$RUN/offer.json" "$RUN/hostile-results" &
  HOSTILE=$!
  within 30 listens 9444
  gw sed -i 's#^url = .*#url = https://files.bms.test:9444#; s#^allowed_hosts.*#allowed_hosts = query.bms.test#' \
    /etc/updaterd/updaterd.conf
}
attack_over() {
  end_pid "$HOSTILE"
  gw sed -i 's#^url = .*#url = https://query.bms.test:8443#; s#^allowed_hosts.*#allowed_hosts = files.bms.test#' \
    /etc/updaterd/updaterd.conf
}
attacked() { # NAME REASON
  local status=0
  gw updaterd >"$RUN/run.log" 2>&1 || status=$?
  equal "$1: exit code" 1 "$status"
  equal "$1: reason reported" "$2" "$(jq -r .reason "$RUN/hostile-results"/* | tail -n 1)"
  equal "$1: current is the old version" "releases/$old" "$(current_of bmsd)"
  check "$1: B runs" gw bmsd --status
  rm -rf "$RUN/hostile-results"
}
next_version
release add --program B --version "$VERSION" --arch "$([[ $ARCH == arm64 ]] && echo amd64 || echo arm64)" "$(tree_b "$VERSION")"
release publish
other=$([[ $ARCH == arm64 ]] && echo amd64 || echo arm64)
attack "{\"new\":[{\"program\":\"B\",\"version\":\"$VERSION\",\"target\":\"B/$VERSION-$other.tar.xz\"}],\"file_server\":\"https://query.bms.test:8443\"}"
attacked "wrong architecture" wrong-arch
attack_over

older=B202107010001
publish_b "$older" "$(tree_b "$older")"
attack "{\"new\":[{\"program\":\"B\",\"version\":\"$older\",\"target\":\"B/$older-$ARCH.tar.xz\"}],\"file_server\":\"https://query.bms.test:8443\"}"
attacked "an older version" older-version
attack_over

attack "{\"new\":[{\"program\":\"B\",\"version\":\"B203001010001\",\"target\":\"B/B203001010001-$ARCH.tar.xz\"}],\"file_server\":\"https://query.bms.test:8443\"}"
attacked "a version that nobody signed" no-target
attack_over

# After all of it a good release still goes in.
next_version
publish_b "$VERSION" "$(tree_b "$VERSION")"
check "a good release still goes in" gw updaterd
equal "and is current" "releases/$VERSION" "$(current_of bmsd)"
equal "nothing of the bad ones is left" "2" "$(gw sh -c 'ls -A /opt/bmsd/releases | wc -l')"

finish
