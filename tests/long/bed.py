# SPDX-License-Identifier: Apache-2.0
"""A bmsd in accelerated time on a bus of its own, before simulated boards: what tests/long/day and kills share."""
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.realpath(__file__))
CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: unix(7)
PROFILE = os.path.join(HERE, "../data/us06-current-profile.csv")
BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path=%s</listen><policy context="default"><allow user="*"/>
<allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/></policy></busconfig>"""


class Board:
    """One bms-boardsim with its control socket."""

    def __init__(self, bed, name, *options):
        self.path = f"{bed.dir}/{name}"
        self.bed = bed
        self.process = bed.start("bms-boardsim", "--control", self.path + ".control", "--speed", str(bed.speed), *options)
        bed.wait_for(lambda: self.tell("truth"))

    def tell(self, command):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.settimeout(10)
            try:
                s.connect(self.path + ".control")
                s.send(command.encode())
                answer = s.recv(4096).decode()
            except (FileNotFoundError, ConnectionRefusedError):
                return None
        if answer.startswith("error"):
            raise ValueError(f"{command}: {answer}")
        return json.loads(answer)


class Notify(threading.Thread):
    """The service manager's end of sd_notify: when the watchdog was fed, less the time that bmsd waited for a processor."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        # Who says it: a message of one that was killed may still lie there, and one may come before watch().
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.bind(path)
        self.ready_pid = None
        self.fed = 0
        self.longest_sec = 0.0
        self.pid = None
        self.at = None

    def mark(self):
        try:
            with open(f"/proc/{self.pid}/schedstat") as f:
                waited = int(f.read().split()[1]) / 1e9
        except (OSError, IndexError):
            waited = 0.0
        return time.monotonic(), waited

    def watch(self, pid):
        self.pid = pid
        self.at = None

    @property
    def ready(self):
        return self.pid is not None and self.ready_pid == self.pid

    def run(self):
        while True:
            message, credentials = self.socket.recvmsg(4096, socket.CMSG_SPACE(CREDENTIALS.size))[:2]
            sender = CREDENTIALS.unpack(credentials[0][2])[0]
            if b"READY=1" in message:
                self.ready_pid = sender
            if b"WATCHDOG=1" not in message or sender != self.pid:
                continue
            now = self.mark()
            if self.at and now[1] >= self.at[1]:
                self.longest_sec = max(self.longest_sec, now[0] - self.at[0] - (now[1] - self.at[1]))
            self.at = now
            self.fed += 1


class Bed:
    def __init__(self, bin_dir, speed, watchdog_sec=30):
        self.bin = os.path.realpath(bin_dir)
        self.speed = speed
        # Not on a disk: its pauses would be multiplied too.
        self.dir = tempfile.mkdtemp(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
        self.processes = []
        self.log = open(self.dir + "/log", "w+b")
        self.watchdog_sec = watchdog_sec
        preload = self.dir + "/fasttime.so"
        subprocess.run([os.environ.get("CC", "gcc"), "-shared", "-fPIC", "-O2", "-D_GNU_SOURCE", "-o", preload,
                        HERE + "/../lib/fasttime.c"], check=True)
        with open(self.dir + "/bus.conf", "w") as f:
            f.write(BUS % (self.dir + "/bus"))
        os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = f"unix:path={self.dir}/bus"
        self.notify = Notify(self.dir + "/notify")
        self.notify.start()
        self.start("/usr/bin/dbus-daemon", "--nofork", "--config-file=" + self.dir + "/bus.conf")
        self.wait_for(lambda: os.path.exists(self.dir + "/bus"))
        self.began = time.monotonic_ns()
        # glibc keeps some freed blocks of each size for itself, and for days comes upon sizes that it has none of yet:
        # growth that has an end, and would hide a leak of less than a kB an hour.
        self.fast = {"FASTTIME": f"{speed}@{self.began}", "LD_PRELOAD": preload, "NOTIFY_SOCKET": self.dir + "/notify",
                     "WATCHDOG_USEC": str(watchdog_sec * 1000000), "ASAN_OPTIONS": "verify_asan_link_order=0",
                     "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}

    def __enter__(self):
        return self

    def __exit__(self, failed, *_):
        for p in reversed(self.processes):
            if p.poll() is None:
                p.terminate()
        for p in self.processes:
            try:
                p.wait(10)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
        if failed:
            self.print_log()
        self.log.close()
        shutil.rmtree(self.dir)

    def print_log(self):
        self.log.flush()
        with open(self.dir + "/log", "rb") as f:
            for line in f.read().decode(errors="replace").splitlines()[-60:]:
                print("    " + line)

    def start(self, program, *arguments, env=None):
        path = program if program.startswith("/") else f"{self.bin}/{program}"
        p = subprocess.Popen([path, *arguments], env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
                             stdout=self.log, stderr=self.log)
        self.processes.append(p)
        return p

    def start_bmsd(self, config, program="bmsd"):
        """With a runtime directory that outlives it, as systemd makes one."""
        os.makedirs(self.dir + "/run", exist_ok=True)
        p = self.start(program, "--config", config, env={**self.fast, "RUNTIME_DIRECTORY": self.dir + "/run"})
        self.notify.watch(p.pid)
        return p

    def start_other_bmsd(self, config):
        """Beside it, on a bus of its own, not watched over."""
        bus = self.write("other.conf", BUS % (self.dir + "/other"))
        self.start("/usr/bin/dbus-daemon", "--nofork", "--config-file=" + bus)
        self.wait_for(lambda: os.path.exists(self.dir + "/other"))
        env = {k: v for k, v in self.fast.items() if k not in ("NOTIFY_SOCKET", "WATCHDOG_USEC")}
        return self.start("bmsd", "--config", config, env={**env, "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={self.dir}/other"})

    @staticmethod
    def wait_for(condition, sec=30):
        end = time.monotonic() + sec
        while time.monotonic() < end:
            value = condition()
            if value:
                return value
            time.sleep(0.02)
        raise TimeoutError("in vain")

    def seconds(self):
        """Of accelerated time."""
        return (time.monotonic_ns() - self.began) / 1e9 * self.speed

    def stop(self, process, how=signal.SIGTERM):
        process.send_signal(how)
        status = process.wait(30)
        self.processes.remove(process)
        return status

    def ask(self, method, bus="bus"):
        """A method of the daemon that answers with JSON; None while it does not."""
        r = subprocess.run(["busctl", f"--address=unix:path={self.dir}/{bus}", "--json=short", "call",
                            "org.bmsgateway.Battery1", "/org/bmsgateway/Battery1", "org.bmsgateway.Battery1", method],
                           capture_output=True)
        return json.loads(json.loads(r.stdout)["data"][0]) if r.returncode == 0 else None

    def takes(self, config):
        r = subprocess.run([self.bin + "/bmsd", "--check-config", "--config", config], capture_output=True)
        return r.returncode == 0

    def write(self, name, text):
        with open(f"{self.dir}/{name}", "w") as f:
            f.write(text)
        return f"{self.dir}/{name}"


def private_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return sum(int(line.split()[1]) for line in f if line.startswith("Private_Dirty"))


def cpu_sec(pid):
    with open(f"/proc/{pid}/schedstat") as f:
        return int(f.read().split()[0]) / 1e9


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))
