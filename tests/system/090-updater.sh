#!/bin/bash
# Upgrades of the updater itself: its trial, then bad releases of every kind. Always the old updater in
# the end, with the right reason, and B never even restarted by it.
# shellcheck disable=SC2016 # what stands in single quotes is for a shell in the gateway
. "$(dirname "$0")/lib.sh"

GW_SETTLE_SEC=1
GW_PROGRAM_A='probe_timeout_sec = 5
trial_retry_sec = 1
trial_extend_max_sec = 60'
site_up
gateway_up

day=20211001
serial=0
next_version() {
  serial=$((serial + 1))
  VERSION=$(printf 'A%s%04d' "$day" "$serial")
}
result_of() { # VERSION FIELD: of its newest result
  results | jq -r --arg version "$1" "[.[] | select(.to == \$version)][-1].$2"
}
count_of() { results | jq "[.[] | select(.to == \"$1\")] | length"; }
installer_version() {
  gw busctl get-property org.bmsgateway.Updater1 /org/bmsgateway/Updater1 org.bmsgateway.Updater1 Version |
    cut -d'"' -f2
}
b_process() { gw systemctl show -p MainPID -p NRestarts bmsd.service | tr '\n' ' '; }
withdraw() { queryctl blacklist add "$1" "imei:$IMEI" >/dev/null; }

# ---- a good one --------------------------------------------------------------------------------

b_was=$(b_process)
next_version
publish_a "$VERSION" "$(tree_a "$VERSION")"
check "a run upgrades the updater" gw sh -c 'updaterd >/root/run.log 2>&1'
gw cat /root/run.log >"$RUN/run.log"
equal "it is confirmed" "confirmed none" "$(result_of "$VERSION" outcome) $(result_of "$VERSION" reason)"
equal "it is current" "releases/$VERSION" "$(current_of updaterd)"
equal "the old one is kept" releases/A202108010001 "$(gw readlink /opt/updaterd/previous)"
equal "the next call starts its installer" "$VERSION" "$(installer_version)"
check "the run went on as the new one" grep -q "going on as the new updater" "$RUN/run.log"
equal "the old installer's state is where it was" "" "$(gw sh -c 'ls /var/lib/updaterd/installer/proof 2>/dev/null')"
equal "and so are the units" "" "$(gw systemctl list-units --failed --plain --no-legend 'updaterd*')"
old=$VERSION

# ---- both at once ------------------------------------------------------------------------------

next_version
new_b=B202110010001
publish_b "$new_b" "$(tree_b "$new_b")" --requires "A=$VERSION"
status=0
gw updaterd >"$RUN/run.log" 2>&1 || status=$?
equal "a B that needs another A is refused" "refused requires 1" \
  "$(result_of "$new_b" outcome) $(result_of "$new_b" reason) $status"
equal "which is not held against it" 0 \
  "$(gw updaterd --status --json | jq '.programs.B.quarantined | length')"
equal "B was not touched" "$b_was" "$(b_process)"
publish_a "$VERSION" "$(tree_a "$VERSION")"
check "the service upgrades both in one run" gw systemctl start updaterd.service
equal "A" "releases/$VERSION" "$(current_of updaterd)"
equal "B" "releases/$new_b $new_b" "$(current_of bmsd) $(running_version)"
equal "A came first" "$VERSION $new_b" \
  "$(results | jq -r '[.[] | select(.outcome == "confirmed") | .to][-2:] | join(" ")')"
old=$VERSION
b_was=$(b_process)

# ---- bad ones ----------------------------------------------------------------------------------

# tried NAME REASON: one run against $VERSION, which ends as the old one.
tried() {
  local name=$1 reason=$2 status=0
  gw updaterd >"$RUN/run.log" 2>&1 || status=$?
  equal "$name: result" "rolled_back $reason" "$(result_of "$VERSION" outcome) $(result_of "$VERSION" reason)"
  equal "$name: exit code" 1 "$status"
  check "$name: the log says why" grep -q "($reason)" "$RUN/run.log"
  equal "$name: the old updater" "releases/$old" "$(current_of updaterd)"
  equal "$name: B" "$b_was" "$(b_process)"
  echo "        $(result_of "$VERSION" detail)"
}
# What only hands over to the real one before that would tell its version need not be built anew.
bad() { # NAME REASON SCRIPT: before the real one
  next_version
  mkdir -p "$RUN/trees/$VERSION"
  cp -r "$RUN/trees/$old/bin" "$RUN/trees/$VERSION/bin"
  publish_a "$VERSION" "$(tree_a_wrapped "$VERSION" "$3")"
  tried "$1" "$2"
  withdraw "$VERSION"
}
bad_file() { # NAME REASON FILE: instead of the real one
  next_version
  install -D -m 0755 "$3" "$RUN/trees/$VERSION/bin/updaterd"
  publish_a "$VERSION" "$RUN/trees/$VERSION"
  tried "$1" "$2"
}

printf 'int main(void) { __builtin_trap(); }\n' | cc -x c -o "$RUN/crash" -
bad_file "crashes at start" crashed "$RUN/crash"
tried "and again" crashed
tried "a third time" crashed
check "a run after that has nothing to do" gw updaterd
equal "it was tried three times" 3 "$(count_of "$VERSION")"
equal "and is quarantined" "$VERSION" "$(gw updaterd --status --json | jq -r '.programs.A.quarantined[]')"
withdraw "$VERSION"

# The same program for a machine that there is not.
cp "$RUN/crash" "$RUN/foreign"
printf '\xfa\xfa' | dd of="$RUN/foreign" bs=1 seek=18 conv=notrunc status=none
bad_file "another architecture" exited "$RUN/foreign"
withdraw "$VERSION"

bad "exits at once" exited 'exit 1'
bad "does nothing, and says it did" unhealthy 'exit 0'
bad "hangs" not-ready 'exec sleep 1000'

# To the code that checks signatures no metadata is signed. (TLS signs less at a time.)
cat >"$RUN/blind.c" <<'EOF'
#include <dlfcn.h>
#include <stddef.h>
int EVP_DigestVerify(void *ctx, const void *signature, size_t signature_size, const void *bytes, size_t size)
{
  int (*real)(void *, const void *, size_t, const void *, size_t) = dlsym(RTLD_NEXT, "EVP_DigestVerify");
  return size > 1000 ? 0 : real(ctx, signature, signature_size, bytes, size);
}
EOF
cc -D_GNU_SOURCE -shared -fPIC -o "$RUN/blind.so" "$RUN/blind.c"
cannot_verify() { # NAME ARGUMENTS: when it is run with these
  local dir
  next_version
  dir=$(tree_a_wrapped "$VERSION" "case \$* in $2) export LD_PRELOAD=\${real%/*}/blind.so;; esac")
  install -m 0755 "$RUN/blind.so" "$dir/bin/blind.so"
  publish_a "$VERSION" "$dir"
  tried "$1" unhealthy
  check "$1: the result says so" grep -q 'root of trust\|signed' "$RUN/run.log"
  withdraw "$VERSION"
}
cannot_verify "its agent cannot verify" --trial
cannot_verify "its installer cannot verify" '--installer*'
next_version
publish_a "$VERSION" "$(tree_a_wrapped "$VERSION" \
  'case $* in --trial) sed "s#:8443#:8444#" /etc/updaterd/updaterd.conf > $RUNTIME_DIRECTORY/conf; exec "$real" --config $RUNTIME_DIRECTORY/conf "$@";; esac')"
tried "cannot reach the server" cannot-reach
withdraw "$VERSION"

# What it may write is nothing but its own: as the agent, and as root.
state() { gw sh -c 'cd /var/lib/updaterd && find . -type f ! -path "*/outbox/*" ! -path "*/history*" ! -path "*/results/*" ! -path "*/journal.?" ! -path "*/lock" | sort'; }
state_was=$(state)
bad "corrupts its state" unhealthy \
  'case $* in *--trial*) cd /var/lib/updaterd; for f in $(find . -type f); do echo x > $f; rm -f $f; done; exit 0;; esac'
equal "nothing is gone" "$state_was" "$(state)"
bad "deletes its own binary" unhealthy \
  'case $* in *--trial*) rm -f "$0" "$real"; rm -rf /opt/updaterd/releases; exit 0;; esac'
# As root, and then it is gone. D-Bus goes on waiting for it, here longer than the trial may last.
bad "its installer does both, and does not come" not-ready \
  'case $* in --installer*) rm -f "$0" "$real"; rm -rf /opt/updaterd/releases; cd /var/lib/updaterd; for f in $(find . -type f ! -name proof); do echo x > $f; rm -f $f; done; exit 0;; esac'
equal "nothing is gone then either" "$state_was" "$(state)"

# ---- the world is down -------------------------------------------------------------------------

# The trial is held up until the server is gone.
gw mkdir -p /etc/systemd/system/updaterd-trial.service.d
cat >"$GW_ROOT/etc/systemd/system/updaterd-trial.service.d/hold.conf" <<'EOF'
[Service]
ExecStartPre=+/bin/sh -c 'touch /run/trial-began; while [ -e /run/trial-held ]; do sleep 0.1; done'
EOF
gw systemctl daemon-reload
waits() { [[ $(gw busctl --json=short call org.bmsgateway.Updater1 /org/bmsgateway/Updater1 \
  org.bmsgateway.Updater1 Status | jq -r '.data[0]' | jq -r .transaction.step) == wait ]]; }
begin_trial_offline() {
  gw rm -f /run/trial-began
  gw touch /run/trial-held
  gw updaterd >"$RUN/run.log" 2>&1 &
  RUNNER=$!
  within 20 gw test -e /run/trial-began
  site_down
  gw rm /run/trial-held
  check "$1: the trial waits" within 10 waits
}
ended() { wait "$RUNNER" && STATUS=0 || STATUS=$?; }

next_version
publish_a "$VERSION" "$(tree_a "$VERSION")"
begin_trial_offline "the world is down"
check "what the run prints says so" within 5 grep -q wait "$RUN/run.log"
queryd_up
ended
equal "it goes on when the server is back" "0 confirmed " \
  "$STATUS $(result_of "$VERSION" outcome) $(result_of "$VERSION" detail)"
equal "as the new one" "releases/$VERSION" "$(current_of updaterd)"
kept=$old old=$VERSION

next_version
publish_a "$VERSION" "$(tree_a "$VERSION")"
begin_trial_offline "a person's way out"
check "--rollback ends the trial" gw "/opt/updaterd/releases/$old/bin/updaterd" --rollback A
equal "the old updater is back" "releases/$old" "$(current_of updaterd)"
equal "with its own previous one" "releases/$kept" "$(gw readlink /opt/updaterd/previous)"
queryd_up
ended
check "and the next run leaves it so" gw updaterd
equal "result" "rolled_back operator" "$(result_of "$VERSION" outcome) $(result_of "$VERSION" reason)"
equal "the old updater is still there" "releases/$old" "$(current_of updaterd)"
withdraw "$VERSION"

next_version
publish_a "$VERSION" "$(tree_a "$VERSION")"
begin_trial_offline "the machine goes down"
gw systemctl kill --kill-who=main updaterd-installer.service
old_is_back() { [[ $(current_of updaterd) == releases/$old ]]; }
check "the old updater is back then, too" within 20 old_is_back
queryd_up
ended
check "the next run brings it again" gw updaterd
equal "for it was not to blame" "rolled_back interrupted, confirmed none, releases/$VERSION" \
  "$(results | jq -r --arg to "$VERSION" '[.[] | select(.to == $to) | "\(.outcome) \(.reason)"] | join(", ")'), $(current_of updaterd)"
kept=$old old=$VERSION

next_version
publish_a "$VERSION" "$(tree_a "$VERSION")"
begin_trial_offline "another program's way back"
status=0
gw "/opt/updaterd/releases/$old/bin/updaterd" --rollback B >"$RUN/rollback.log" 2>&1 || status=$?
equal "--rollback B is to be asked again" 75 "$status"
check "and is told why" grep -q 'trial of program A is being ended' "$RUN/rollback.log"
check "the trial makes way" within 20 old_is_back
queryd_up
ended
withdraw "$VERSION"
check "the next run tells of it" gw updaterd
equal "which is not held against it" "rolled_back interrupted" \
  "$(result_of "$VERSION" outcome) $(result_of "$VERSION" reason)"

begin_trial_that_hangs() {
  next_version
  publish_a "$VERSION" "$(tree_a "$VERSION")"
  gw rm -f /run/trial-began
  gw touch /run/trial-held
  gw updaterd >"$RUN/run.log" 2>&1 &
  RUNNER=$!
  check "a trial that hangs" within 20 gw test -e /run/trial-began
}
# As the manuals say.
begin_trial_that_hangs
status=0
gw /opt/updaterd/previous/bin/updaterd --rollback A >"$RUN/rollback.log" 2>&1 || status=$?
equal "a person ends it by the old one's own path: the old updater" "0 releases/$old" "$status $(current_of updaterd)"
check "who is told so" grep -qx "$old -> $VERSION: rolled_back at step probe (operator): it was called off" "$RUN/rollback.log"
sed 's/^/        /' "$RUN/rollback.log"
ended
gw rm /run/trial-held
withdraw "$VERSION"

begin_trial_that_hangs
gw systemctl kill --signal=KILL updaterd-installer.service
ended
equal "its installer is killed: the old updater" "rolled_back interrupted releases/$old" \
  "$(result_of "$VERSION" outcome) $(result_of "$VERSION" reason) $(current_of updaterd)"
equal "and nothing of the trial is left" inactive "$(gw systemctl is-active updaterd-trial.service)"
gw rm /run/trial-held
withdraw "$VERSION"

gw rm /etc/systemd/system/updaterd-trial.service.d/hold.conf
gw systemctl daemon-reload

# From a stick nobody needs the server.
next_version
publish_a "$VERSION" "$(tree_a "$VERSION")"
site_down
mkdir -p "$GW_ROOT/mnt/stick"
cp -a "$SITE/repo/repository/." "$GW_ROOT/mnt/stick/"
check "--install from a stick, without server" gw updaterd --install /mnt/stick --program A
equal "is current" "releases/$VERSION" "$(current_of updaterd)"

check "--rollback A" gw updaterd --rollback A
equal "goes back without a trial" "releases/$old" "$(current_of updaterd)"
equal "B was never touched" "$b_was" "$(b_process)"
equal "no stage is left" "2" "$(gw sh -c 'ls -A /opt/updaterd/releases | wc -l')"

finish
