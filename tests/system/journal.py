#!/usr/bin/env python3
"""The journal of a gateway that nobody holds (include/updaterd/journal.h), read and written from outside.

journal.py DIR get [KEY]            the value in the slot that counts, empty if there is none; or all of it
journal.py DIR future KEY=VALUE...  both slots, as formats of the future would have them: with these keys,
                                    and lines that are none
"""

import os
import re
import sys
import zlib

SLOT_BYTES = 4096


def read_slot(path):
    with open(path, "rb") as slot:
        data = slot.read()
    match = re.match(rb"bms-journal (\d+) ([0-9a-f]{16}) ([0-9a-f]{4}) ([0-9a-f]{8})\n", data)
    if not match:
        return None
    payload = data[match.end() : match.end() + int(match[3], 16)]
    if zlib.crc32(data[: match.start(4)] + payload) != int(match[4], 16):
        return None
    return int(match[2], 16), payload.decode().splitlines()


def write_slot(path, number, sequence, lines):
    payload = "".join(line + "\n" for line in lines).encode()
    header = b"bms-journal %d %016x %04x " % (number, sequence, len(payload))
    data = header + b"%08x\n" % zlib.crc32(header + payload) + payload
    assert len(data) <= SLOT_BYTES
    with open(path, "r+b") as slot:
        slot.write(data.ljust(SLOT_BYTES, b"\0"))


def main():
    directory, command, *rest = sys.argv[1:]
    paths = [os.path.join(directory, name) for name in ("journal.a", "journal.b")]
    sequence, lines = max(slot for slot in map(read_slot, paths) if slot)
    if command == "get":
        values = [line.split("=", 1)[1] for line in lines if rest and line.startswith(rest[0] + "=")]
        print("\n".join(values if rest else lines))
        return
    keys = {pair.split("=", 1)[0] for pair in rest}
    lines = [line for line in lines if line.split("=", 1)[0] not in keys]
    lines += [*rest, "a line without a sign"]
    for i, path in enumerate(paths):
        write_slot(path, 2 + 7 * i, sequence + 1 + i, lines)


main()
