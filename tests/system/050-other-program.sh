#!/bin/bash
# A program that is not bmsd at all: mosquitto from Debian's own packages, in two real versions, with
# a unit and a probe of its own, upgraded by configuration alone.
. "$(dirname "$0")/lib.sh"

mapfile -t versions < <(apt-cache madison mosquitto | awk '{ print $3 }' | sort -V -u)
if ((${#versions[@]} < 2)); then
  apt-get update -qq
  mapfile -t versions < <(apt-cache madison mosquitto | awk '{ print $3 }' | sort -V -u)
fi
echo "        mosquitto ${versions[*]}"
old_debian=${versions[0]} new_debian=${versions[-1]}
check "the archive has two versions" test "$old_debian" != "$new_debian"

# debian_tree DEBIAN-VERSION DIRECTORY: the regular files of the package that a broker needs.
debian_tree() {
  mkdir -p "$RUN/download/$1" "$2"
  (cd "$RUN/download/$1" && apt-get download -qq "mosquitto=$1" >/dev/null && dpkg-deb -x ./*.deb tree)
  cp -a "$RUN/download/$1/tree/usr/sbin" "$2/sbin"
  mkdir -p "$2/share"
  find "$RUN/download/$1/tree/usr/share/man" -type f -exec cp {} "$2/share/" \;
}
OLD=M202401010001 NEW=M202402010001
debian_tree "$old_debian" "$RUN/trees/$OLD"
debian_tree "$new_debian" "$RUN/trees/$NEW"

GW_PROGRAMS="
[program M]
name = mosquitto
space = /opt/mosquitto
factory = /usr/lib/mosquitto-factory
unit = broker.service
probe = /usr/local/bin/broker-probe
probe_user = nobody
settle_sec = 2
"
site_up
gateway_up

# What the integrator of that program brings: a unit, a probe, a factory release.
cp -a "$RUN/trees/$OLD" "$GW_ROOT/usr/lib/mosquitto-factory"
"$BIN/bms-release" manifest --program M --version "$OLD" --arch "$ARCH" "$GW_ROOT/usr/lib/mosquitto-factory" >/dev/null
chown -R root:root "$GW_ROOT/usr/lib/mosquitto-factory"
cat >"$GW_ROOT/etc/systemd/system/broker.service" <<'EOF'
[Service]
Type=notify
ExecStart=/opt/mosquitto/current/sbin/mosquitto -p 1883
Restart=always
RestartSec=1
DynamicUser=yes
EOF
# Healthy is: the broker that listens is the version that is expected, and it takes connections.
cat >"$GW_ROOT/usr/local/bin/broker-probe" <<'EOF'
#!/bin/bash
exec 3<>/dev/tcp/127.0.0.1/1883 || exit 1
echo '{"reasons":[]}'
EOF
chmod 0755 "$GW_ROOT/usr/local/bin/broker-probe"
gw systemctl daemon-reload
check "its factory release is adopted" gw updaterd --adopt M
check "it runs" gw systemctl start broker.service
pid=$(gw systemctl show -p MainPID --value broker.service)

release add --program M --version "$NEW" --arch "$ARCH" "$RUN/trees/$NEW"
release publish
sleep 1.1
check "the upgrade" gw updaterd
equal "current" "releases/$NEW" "$(current_of mosquitto)"
new_pid=$(gw systemctl show -p MainPID --value broker.service)
check "another process runs" test "$pid" != "$new_pid"
equal "from the new release" "$(gw stat -c %d:%i "/opt/mosquitto/releases/$NEW/sbin/mosquitto")" \
  "$(gw stat -L -c %d:%i "/proc/$new_pid/exe")"
equal "whose bytes are Debian's" "$(sha256sum <"$RUN/trees/$NEW/sbin/mosquitto")" \
  "$(gw sha256sum <"$GW_ROOT/opt/mosquitto/releases/$NEW/sbin/mosquitto")"
check "the result is archived" archived ".to == \"$NEW\""
check "rolled back by hand" gw updaterd --rollback M
equal "current is the old one again" "releases/$OLD" "$(current_of mosquitto)"
check "and it serves" within 5 gw /usr/local/bin/broker-probe

finish
