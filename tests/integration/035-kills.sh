#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A sample of `make check-kills`: bmsd killed and upgraded while the vehicle is ridden, beside one that is not.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh" "$@"
export ASAN_OPTIONS=verify_asan_link_order=0

check "charge, events and counters outlive kills and upgrades" env KILLS="${KILLS:-12}" GAPS="${GAPS:-2}" \
  SEED="${SEED:-3}" "$(dirname "$(realpath "$0")")/../long/kills" "$BIN"
grep '^kills' "$TMP/check.log"
