#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The TUF client, as a program, against repositories that Python makes and serves: everything that the
# public conformance suite looks at, and what it does not.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh" "$@"

# Debian's own Python, whose modules tools/deps installs.
while IFS= read -r line; do
  case $line in
    "ok      "*) ok "${line#ok      }" ;;
    "NOT OK  "*) fail "${line#NOT OK  }" ;;
    *) echo "$line" ;;
  esac
done < <(/usr/bin/python3 "$(dirname "$0")/tuf_client" "$BIN/tuf-client" "$TMP" 2>&1 | tee "$TMP/cases")
check "every case was run" grep -qx "cases: $((passed + failed))" "$TMP/cases"
