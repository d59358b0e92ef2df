#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Patches that bms-release makes, on real programs: two builds of bmsd.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh" "$@"

V1=B202109010001 V2=B202109020001 V3=B202109030001
REPO=$TMP/repo

release() { "$BIN/bms-release" --repo "$REPO" --passphrase-file "$TMP/pass" "$@"; }
echo "correct horse battery staple" >"$TMP/pass"

# The same program with another version in it.
tree() { # VERSION
  mkdir -p "$TMP/$1/bin"
  sed "s/B202108010001/$1/g" "$BIN/bmsd" >"$TMP/$1/bin/bmsd"
  chmod 0755 "$TMP/$1/bin/bmsd"
  echo "$TMP/$1"
}
add() { # VERSION [OPTION...]
  local version=$1
  shift
  release add --program B --version "$version" --arch amd64 "$@" "$(tree "$version")"
}
file_of() { find "$REPO/repository/targets" -name "*.$1"; }

check "init" release init --programs A,B
check "the first release" add $V1
check "has no patches" test "$(release list --json | jq '.releases[0].patches | length')" = 0
check "publish it" release publish
check "the second release" add $V2 --json
cp "$TMP/check.log" "$TMP/add.json"
check "publish it as well" release publish
patch=B/$V2-amd64.from-$V1.patch
check "add tells of the patch" \
  test "$(jq -r '.patches[] | select(.added) | .from + " " + .target' "$TMP/add.json")" = "$V1 $patch"
file=$(file_of "$V2-amd64.from-$V1.patch")
check "the file is as long as add says" test "$(jq '.patches[0].length' "$TMP/add.json")" = "$(stat -c %s "$file")"
full=$(stat -c %s "$(file_of "$V2-amd64.tar.xz")")
check "and a tenth of the program file at most ($(stat -c %s "$file") of $full)" \
  test $(($(stat -c %s "$file") * 10)) -lt "$full"
check "it begins as the format says" test "$(head -c 8 "$file")" = BMSPATCH
check "list shows it" test "$(release list --json | jq -c '[.releases[].patches[]? | .from]')" = "[\"$V1\"]"
check "verify applies it" release verify

# The custom part says what the protocol says.
newest() { find "$REPO/repository/metadata" -name '*.B.json' | sort -V | tail -n 1; }
custom=$(jq -c ".signed.targets.\"$patch\".custom" "$(newest)")
tar_of() { xz -dc "$(file_of "$1-amd64.tar.xz")" | sha256sum | cut -d' ' -f1; }
check "its base is the old tar" test "$(jq -r .base.sha256 <<<"$custom")" = "$(tar_of $V1)"
check "its tar the new one" test "$(jq -r .tar.sha256 <<<"$custom")" = "$(tar_of $V2)"
check "kind and from" test "$(jq -r '.kind + .from' <<<"$custom")" = "patch$V1"
check "segment lists come with it" test -n "$(file_of "$V2-amd64.from-$V1.patch.seg4096")"

check "--patches-from 0 makes none" add $V3 --patches-from 0
check "none" test "$(release list --json | jq "[.releases[] | select(.version == \"$V3\")][0].patches | length")" = 0
check "revoking the old release" release revoke $V1
check "publishing that" release publish
check "takes the patch from it along" test -z "$(file_of "$V2-amd64.from-$V1.patch")$(file_of "$V2-amd64.from-$V1.patch.seg4096")"
check "verify is content" release verify
