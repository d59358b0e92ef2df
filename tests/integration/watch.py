#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# Runs `bmsd --watch` on pseudo terminals and looks at them with a terminal emulator: what is on the screen,
# and whether the terminal is as it was afterwards, however it ended.
import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time

import pyte

PROGRAM = sys.argv[1]


class Terminal:
    def __init__(self, columns, rows, locale="C.UTF-8"):
        self.screen = pyte.Screen(columns, rows)
        self.stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.ready, ready = os.pipe()
        go, self.go = os.pipe()
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.read(go, 1)
            os.environ.update(TERM="xterm-256color", LC_ALL=locale)
            os.execv(PROGRAM, [PROGRAM, "--watch"])
        self.resize(columns, rows)
        self.before = termios.tcgetattr(self.fd)
        os.write(self.go, b"x")

    def resize(self, columns, rows):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)

    def read(self, seconds):
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if not select.select([self.fd], [], [], left)[0]:
                break
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                break
            self.raw += data
            self.stream.feed(data)

    def text(self):
        return "\n".join(self.screen.display)

    def expect(self, *words):
        for _ in range(40):
            if all(word in self.text() for word in words):
                return
            self.read(0.2)
        sys.exit("not on the screen: %s\n%s" % (words, self.text()))

    def is_canonical(self):
        return bool(termios.tcgetattr(self.fd)[3] & termios.ICANON)

    def wait_raw(self):
        for _ in range(50):
            if not self.is_canonical():
                return
            self.read(0.1)
        sys.exit("never became raw")

    def ended(self, what):
        for _ in range(50):
            # The terminal's settings can be asked while our side is open.
            self.read(0.1)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                break
            # After its side is closed, reading returns at once, a moment before it has ended.
            time.sleep(0.1)
        else:
            sys.exit("%s: it did not end" % what)
        self.read(0.2)
        assert os.waitstatus_to_exitcode(status) == 0, (what, status)
        assert termios.tcgetattr(self.fd) == self.before, "%s: the terminal is not as it was" % what
        assert self.raw.endswith(b"\x1b[?7h\x1b[?25h\x1b[?1049l"), (what, self.raw[-60:])
        os.close(self.fd)


terminal = Terminal(80, 24)
terminal.expect("FRONT", "REAR", "charge", "cells", "no alarm", "bmsd B")
terminal.expect("█")
assert terminal.text().count("\n") == 23
assert ">0 FRONT" in terminal.text(), terminal.text()
if os.environ.get("SHOW"):
    print(terminal.text())
os.write(terminal.fd, b"\t")
terminal.expect(">1 REAR", "17")
os.write(terminal.fd, b"0")
terminal.expect(">0 FRONT")
terminal.resize(132, 50)
os.kill(terminal.pid, signal.SIGWINCH)
terminal.expect("link-up", "FRONT")
terminal.resize(30, 5)
terminal.read(1.5)
terminal.resize(80, 24)
terminal.expect("FRONT", "no alarm")
os.write(terminal.fd, b"q")
terminal.ended("q")

for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT:
    terminal = Terminal(80, 24)
    terminal.wait_raw()
    os.kill(terminal.pid, number)
    terminal.ended(number.name)

terminal = Terminal(80, 24)
terminal.expect("FRONT")
os.write(terminal.fd, b"\x03")
terminal.ended("Ctrl-C")

# Ctrl-Z gives the terminal back, and takes it again.
terminal = Terminal(80, 24)
terminal.expect("FRONT")
os.kill(terminal.pid, signal.SIGTSTP)
os.waitpid(terminal.pid, os.WUNTRACED)
assert termios.tcgetattr(terminal.fd) == terminal.before, "stopped, and the terminal is not as it was"
os.kill(terminal.pid, signal.SIGCONT)
terminal.wait_raw()
terminal.expect("FRONT")
os.write(terminal.fd, b"q")
terminal.ended("Ctrl-Z")

terminal = Terminal(80, 24, locale="C")
terminal.expect("FRONT", "##")
assert all(byte < 128 for byte in terminal.raw), "not ASCII"
os.write(terminal.fd, b"q")
terminal.ended("ASCII")
