#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the network can do to a gateway: the fault server's own tests, then the real agent and installer: always
# before a server without Range, with a wrong Content-Range, with a stale cache, and with a file that is switched
# mid-way; then under the other faults, each once before any in another phase, for a bounded time. All of it:
# make check-faults.
set -u
here=$(dirname "$(realpath "$0")")/../fault
export PYTHONDONTWRITEBYTECODE=1
if ((EUID != 0)); then
  echo "NOT OK  an agent and an installer need root"
  echo "0 passed, 1 failed"
  exit 1
fi
log=$(mktemp -d)
trap 'rm -rf "$log"' EXIT
# The one waits a lot, the other does not.
/usr/bin/python3 "$here/selftest.py" >"$log/1" 2>&1 &
/usr/bin/python3 "$here/matrix.py" "$1" --seconds "${FAULT_SECONDS:-12}" >"$log/2" 2>&1
wait
grep -hvE '^[0-9]+ passed, [0-9]+ failed$' "$log"/[12]
awk '/^[0-9]+ passed, [0-9]+ failed$/ { parts++; passed += $1; failed += $3 }
  END { if (parts != 2) failed++; print passed + 0 " passed, " failed + 0 " failed"; exit failed > 0 || passed == 0 }' "$log"/[12]
