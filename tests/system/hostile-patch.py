#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A patch that is signed, and wrong: one byte of what is staged is changed, and all that depends on it
is put right, signatures included. For 025-patches.sh.

hostile-patch.py REPO TARGET     (as "B/B202109020001-amd64.from-B202109010001.patch")
"""
import hashlib
import json
import os
import subprocess
import sys


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def staged(repo, path, sha256):
    directory, name = path.split("/")
    return os.path.join(repo, "staged/targets", directory, sha256 + "." + name)


def replace(repo, targets, path, content):
    entry = targets[path]
    os.unlink(staged(repo, path, entry["hashes"]["sha256"]))
    entry["length"] = len(content)
    entry["hashes"] = {"sha256": hashlib.sha256(content).hexdigest()}
    with open(staged(repo, path, entry["hashes"]["sha256"]), "wb") as file:
        file.write(content)


def segment_list(content, size):
    text = b"bms-segments 1 %d %d\n" % (size, len(content))
    for start in range(0, len(content), size):
        text += hashlib.sha256(content[start : start + size]).digest()
    return text


def main():
    repo, path = sys.argv[1:]
    name = os.path.join(repo, "staged", path.split("/")[0] + ".json")
    with open(name, "rb") as file:
        role = json.load(file)
    targets = role["signed"]["targets"]
    with open(staged(repo, path, targets[path]["hashes"]["sha256"]), "rb") as file:
        content = bytearray(file.read())
    content[len(content) // 2] ^= 0x40
    replace(repo, targets, path, bytes(content))
    for size in targets[path]["custom"]["segment_bytes"]:
        replace(repo, targets, f"{path}.seg{size}", segment_list(bytes(content), size))
    with open(name + ".signed", "wb") as file:
        file.write(canonical(role["signed"]))
    signature = subprocess.run(
        ["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", os.path.join(repo, "keys", path[0] + ".pem"),
         "-in", name + ".signed"], check=True, capture_output=True).stdout
    os.unlink(name + ".signed")
    role["signatures"][0]["sig"] = signature.hex()
    with open(name, "wb") as file:
        file.write(canonical(role))


main()
