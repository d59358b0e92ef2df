#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The first release of bmsd, as far as its files go: what it read of a state, and what it wrote.

first_bmsd.py read DIRECTORY            prints what it would have restored, as JSON
first_bmsd.py run DIRECTORY SAMPLES SOC_PERCENT CHARGE_UAH   and writes what it would have after so many samples
first_bmsd.py age DIRECTORY SECONDS     as if what is there had been written so long ago, at most at boot
"""
import json
import sys
import time
import zlib

SLOTS = ("state.a", "state.b")
NUMBER_MAX = 2**53 - 1
MAX_BYTES, MAX_DEPTH = 65536, 16


def header(text):
    return b"bmsd-state 1 %d %08x\n" % (len(text), zlib.crc32(text))


def no_twins(pairs):
    assert len(dict(pairs)) == len(pairs), "a key twice"
    return dict(pairs)


def refuse(text):
    raise AssertionError(f"no integer: {text}")


def depth(value):
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


def read_slot(path):
    with open(path, "rb") as f:
        data = f.read(MAX_BYTES + 1)
    assert len(data) <= MAX_BYTES, f"{path}: too long"
    first, _, text = data.partition(b"\n")
    assert text.endswith(b"\n") and header(text[:-1]) == first + b"\n", f"{path}: damaged"
    members = json.loads(text, object_pairs_hook=no_twins, parse_float=refuse, parse_constant=refuse,
                         parse_int=lambda t: int(t) if abs(int(t)) <= NUMBER_MAX else refuse(t))
    assert depth(members) <= MAX_DEPTH
    return members


def write_slot(path, members):
    text = json.dumps(members, separators=(",", ":")).encode()
    with open(path, "wb") as f:
        f.write(header(text) + text + b"\n")


def read(directory):
    """The newer file's members, and the name of the older one."""
    slots = []
    for name in SLOTS:
        try:
            slots.append((read_slot(f"{directory}/{name}"), name))
        except FileNotFoundError:
            slots.append(({"sequence": -1}, name))
    slots.sort(key=lambda slot: slot[0]["sequence"])
    return slots[1][0], slots[0][1]


def restored(members):
    for name in ("sequence", "charge_uah", "samples_total", "cycles", "saved_sec", "soc_percent"):
        assert isinstance(members[name], int) and 0 <= members[name] <= NUMBER_MAX, name
    assert members["soc_percent"] <= 100
    assert isinstance(members["writer"], str) and isinstance(members["identity"]["model"], str)
    assert isinstance(members["identity"]["cells"], int)
    return members


def run(directory, samples, soc_percent, charge_uah):
    members, older = read(directory)
    restored(members)
    members.update(sequence=members["sequence"] + 1, samples_total=members["samples_total"] + samples,
                   soc_percent=soc_percent, charge_uah=charge_uah, saved_sec=int(time.time()), writer="B202108010001")
    write_slot(f"{directory}/{older}", members)


def age(directory, sec):
    for name in SLOTS:
        members = read_slot(f"{directory}/{name}")
        if "boottime_msec" not in members:
            continue  # its own, from before
        sec = min(sec, members["boottime_msec"] // 1000)
        members["boottime_msec"] -= sec * 1000
        write_slot(f"{directory}/{name}", members)


command, where, numbers = sys.argv[1], sys.argv[2], list(map(int, sys.argv[3:]))
if command == "read":
    print(json.dumps(restored(read(where)[0])))
elif command == "run":
    run(where, *numbers)
else:
    age(where, *numbers)
