# SPDX-License-Identifier: Apache-2.0
"""Run with fasttime preloaded: do all clocks agree, and do waits last what they should by them? Prints what is wrong."""
import ctypes
import os
import select
import struct
import sys
import time

CLOCKS = {"realtime": time.CLOCK_REALTIME, "monotonic": time.CLOCK_MONOTONIC, "boottime": time.CLOCK_BOOTTIME}
WAIT = 10
wrong = []


def readings():
    return {name: time.clock_gettime(clock) for name, clock in CLOCKS.items()} | {"time": time.time()}


def timerfd(clock, absolute):
    libc = ctypes.CDLL(None)
    fd = libc.timerfd_create(clock, 0)
    at = WAIT + (time.clock_gettime(clock) if absolute else 0)
    libc.timerfd_settime(fd, 1 if absolute else 0, struct.pack("qqqq", 0, 0, int(at), int(at % 1 * 1e9)), None)
    os.read(fd, 8)
    os.close(fd)


def epoll_timer():
    with select.epoll() as e:
        e.poll(WAIT)


waits = {"sleep": lambda: time.sleep(WAIT), "poll": lambda: select.poll().poll(WAIT * 1000), "epoll": epoll_timer,
         "select": lambda: select.select([], [], [], WAIT)}
for clock_name, clock in CLOCKS.items():
    waits["timerfd " + clock_name] = lambda clock=clock: timerfd(clock, False)
    waits["timerfd absolute " + clock_name] = lambda clock=clock: timerfd(clock, True)
speed = int(os.environ["FASTTIME"].split("@")[0])
for name, wait in waits.items():
    before = readings()
    wait()
    passed = {clock: after - before[clock] for clock, after in readings().items()}
    # A busy machine makes waits longer, never shorter; and what they are longer is multiplied.
    for clock, sec in passed.items():
        if not WAIT * 0.999 <= sec < WAIT + 2 * speed:
            wrong.append(f"{name}: {sec:.3f} s by {clock}")
    if max(passed.values()) - min(passed.values()) > 0.05 * speed:
        wrong.append(f"{name}: clocks disagree: {passed}")
print("\n".join(wrong))
sys.exit(bool(wrong))
