#!/usr/bin/env python3
"""Runs a command; prints wall time (ms), CPU time (ms) and peak memory (kB) on one line.
measure.py COMMAND..."""
import resource
import subprocess
import sys
import time

start = time.monotonic()
status = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
wall = time.monotonic() - start
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print("%d %d %d" % (wall * 1000, (used.ru_utime + used.ru_stime) * 1000, used.ru_maxrss))
sys.exit(status)
