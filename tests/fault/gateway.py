# SPDX-License-Identifier: Apache-2.0
"""A gateway for server.py: the real agent and the real installer, over a bus of their own, in a scratch
directory; the agent's waiting is virtual (virtualtime.c)."""
import json
import mmap
import os
import pwd
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
OLD, BASE, NEW = "B202108010001", "B202108020001", "B202109010001"
AGENT_USER = "nobody"
SEC = 1_000_000_000
# Nothing that the agent writes is larger than this.
FILE_MAX_BYTES = 4 << 20
# A run's, on a machine that has other things to do.
REAL_MAX_SEC = 60
FETCH_TIMEOUT_SEC = 3600

BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path={0}/bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*" eavesdrop="false"/>
    <allow receive_sender="*"/>
  </policy>
</busconfig>
"""

CONF = """[server]
url=https://query.test:{port}
ca_file={dir}/pki/ca.pem
client_cert={dir}/pki/client.pem
client_key={dir}/pki/client.key
allowed_hosts=files.test
[gateway]
identity_type=name
identity_value=gateway
arch=amd64
[network]
network_type=lte-m
connect_timeout_sec=30
request_timeout_sec=300
low_speed_bytes_per_sec=100
low_speed_sec=60
attempts=6
query_timeout_sec=900
metadata_timeout_sec=900
result_timeout_sec=900
fetch_timeout_sec={fetch_timeout}
{proxy}
[trust]
root_file={dir}/root.json
[paths]
agent_dir={dir}/gateway/agent
installer_dir={dir}/gateway/installer
agent_user={user}
[program B]
name=program
space={dir}/gateway/space
factory={dir}/{factory}
settle_sec=0
"""


class Page:
    """The words shared with virtualtime.c."""

    OFFSET, ASKED, TOLD, DUE, REALTIME_SHIFT, RESOLVER, RESOLVER_HOST, ELSEWHERE = range(8)

    def __init__(self, name):
        self.name = name
        with open(name, "wb") as file:
            file.write(bytes(4096))
        os.chmod(name, 0o666)
        for suffix in (".ask", ".told"):
            os.mkfifo(name + suffix)
            os.chmod(name + suffix, 0o666)
        with open(name, "r+b") as file:
            self.page = mmap.mmap(file.fileno(), 64)

    def __getitem__(self, word):
        return struct.unpack_from("=q", self.page, 8 * word)[0]

    def __setitem__(self, word, value):
        struct.pack_into("=q", self.page, 8 * word, value)

    def now(self):
        return time.monotonic_ns() + self[self.OFFSET]


class Run:
    """What one run of the agent did."""

    def __init__(self, code, text, virtual_sec, real_sec, rss_bytes, is_hung):
        self.code, self.text, self.is_hung = code, text, is_hung
        self.virtual_sec, self.real_sec, self.rss_bytes = virtual_sec, real_sec, rss_bytes


class World:
    """Server and gateway, and the directory that they live in."""

    def __init__(self, bin_directory):
        self.bin = os.path.abspath(bin_directory)
        self.dir = tempfile.mkdtemp(prefix="fault-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
        os.chmod(self.dir, 0o755)
        self.children = []
        self.user = pwd.getpwnam(AGENT_USER)
        self.is_asan = b"libasan" in subprocess.run(["ldd", self.bin + "/updaterd"], capture_output=True).stdout
        try:
            self.build()
        except BaseException:
            self.close()
            raise

    def build(self):
        subprocess.run([HERE + "/site.sh", self.bin, self.dir], check=True, env=self.environment())
        self.preload = self.dir + "/virtualtime.so"
        cc = os.environ.get("CC", "gcc")
        subprocess.run([cc, "-shared", "-fPIC", "-O1", "-o", self.preload, HERE + "/virtualtime.c", "-ldl"], check=True)
        self.page = Page(self.dir + "/time")
        self.start_server()
        self.start_bus()
        proxy = f"proxy=http://127.0.0.1:{self.ports['proxy']}"
        self.write_conf("direct", "", "old")
        self.write_conf("proxy", proxy, "old")
        self.write_conf("base", "", "base")
        self.make_template("template", "direct")
        self.make_template("template-base", "base")
        self.renew_gateway()
        self.start_installer()

    def write_conf(self, name, proxy, factory):
        with open(f"{self.dir}/{name}.conf", "w", encoding="ascii") as file:
            file.write(CONF.format(dir=self.dir, proxy=proxy, fetch_timeout=FETCH_TIMEOUT_SEC, user=AGENT_USER,
                                   port=self.ports["query"], factory=factory))  # fmt: skip

    # -- processes

    def environment(self, **more):
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
        env["ASAN_OPTIONS"] = "detect_leaks=1:abort_on_error=0:exitcode=99"
        env["UBSAN_OPTIONS"] = "halt_on_error=1:exitcode=99:print_stacktrace=1"
        env["DBUS_SYSTEM_BUS_ADDRESS"] = f"unix:path={self.dir}/bus"
        env.update(more)
        return env

    def spawn(self, *command, **how):
        child = subprocess.Popen(command, **how)
        self.children.append(child)
        return child

    def start_server(self):
        self.server = self.spawn("/usr/bin/python3", HERE + "/server.py", self.dir, "--virtual-time", self.page.name,
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)  # fmt: skip
        self.ports = json.loads(self.server.stdout.readline())

    def order(self, do, **what):
        print(json.dumps({"do": do, **what}), file=self.server.stdin, flush=True)
        line = self.server.stdout.readline()
        if not line:
            raise RuntimeError("server.py has ended")
        return json.loads(line)

    def start_bus(self):
        with open(self.dir + "/bus.conf", "w", encoding="ascii") as file:
            file.write(BUS.format(self.dir))
        self.spawn("dbus-daemon", "--config-file=" + self.dir + "/bus.conf", "--nofork", "--nopidfile",
                   stderr=subprocess.DEVNULL)  # fmt: skip
        self.wait_for(lambda: os.path.exists(self.dir + "/bus"), "the bus")

    @staticmethod
    def wait_for(condition, what):
        end = time.monotonic() + 30
        while not condition():
            if time.monotonic() > end:
                raise RuntimeError(f"{what} does not come")
            time.sleep(0.01)

    def has_owner(self):
        answer = subprocess.run(["busctl", f"--address=unix:path={self.dir}/bus", "call", "org.freedesktop.DBus", "/",
                                 "org.freedesktop.DBus", "NameHasOwner", "s", "org.bmsgateway.Updater1"],
                                capture_output=True, text=True)  # fmt: skip
        return answer.stdout.strip() == "b true"

    def start_installer(self):
        with open(self.dir + "/installer.log", "ab") as log:
            self.installer = self.spawn(self.bin + "/updaterd", "--installer", "--config", self.dir + "/direct.conf",
                                        stdout=log, stderr=log, env=self.environment())  # fmt: skip
        self.wait_for(self.has_owner, "the installer")

    # -- the gateway

    def make_template(self, name, conf):
        os.makedirs(self.dir + "/gateway/agent")
        subprocess.run([self.bin + "/updaterd", "--adopt", "B", "--config", f"{self.dir}/{conf}.conf"], check=True,
                       stderr=subprocess.DEVNULL, env=self.environment())  # fmt: skip
        os.chown(self.dir + "/gateway/agent", self.user.pw_uid, self.user.pw_gid)
        os.rename(self.dir + "/gateway", f"{self.dir}/{name}")

    def renew_gateway(self, metadata=None, template="template"):
        """As it came from the factory; metadata: a directory that it has come to trust."""
        shutil.rmtree(self.dir + "/gateway", ignore_errors=True)
        subprocess.run(["cp", "-a", f"{self.dir}/{template}", self.dir + "/gateway"], check=True)
        if metadata:
            subprocess.run(["cp", "-a", metadata, self.dir + "/gateway/agent/metadata"], check=True)

    def become_agent(self):
        resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_MAX_BYTES, FILE_MAX_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.setgroups([])
        os.setresgid(self.user.pw_gid, self.user.pw_gid, self.user.pw_gid)
        os.setresuid(self.user.pw_uid, self.user.pw_uid, self.user.pw_uid)

    def run_agent(self, through_proxy=False):
        if self.installer.poll() is not None:
            self.start_installer()
        preload = self.preload
        if self.is_asan:
            asan = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True)
            preload = asan.stdout.strip() + " " + preload
        conf = self.dir + ("/proxy.conf" if through_proxy else "/direct.conf")
        began, virtual_began = time.monotonic(), self.page.now()
        log = tempfile.TemporaryFile()
        child = subprocess.Popen([self.bin + "/updaterd", "--quiet", "--config", conf], stdin=subprocess.DEVNULL,
                                 stdout=log, stderr=log, preexec_fn=self.become_agent, cwd="/",
                                 env=self.environment(LD_PRELOAD=preload, VIRTUAL_TIME=self.page.name))  # fmt: skip
        is_hung, usage = self.wait(child)
        log.seek(0)
        text = log.read().decode("utf-8", "replace")
        virtual_sec = (self.page.now() - virtual_began) / SEC
        return Run(child.returncode, text, virtual_sec, time.monotonic() - began, usage.ru_maxrss << 10, is_hung)

    @staticmethod
    def wait(child):
        end, is_hung = time.monotonic() + REAL_MAX_SEC, False
        pid_fd = os.pidfd_open(child.pid)
        try:
            import select

            if not select.select([pid_fd], [], [], max(0, end - time.monotonic()))[0]:
                child.kill()
                is_hung = True
        finally:
            os.close(pid_fd)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        return is_hung, usage

    def agent_bytes(self):
        return sum(os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk(self.dir + "/gateway/agent")
                   for name in names)  # fmt: skip

    def agent_files(self, directory):
        try:
            return sorted(os.listdir(f"{self.dir}/gateway/agent/{directory}"))
        except FileNotFoundError:
            return []

    def current(self):
        return os.path.basename(os.readlink(self.dir + "/gateway/space/current"))

    def is_installed_whole(self):
        with open(f"{self.dir}/gateway/space/current/bin/program", "rb") as have, open(
            self.dir + "/new/bin/program", "rb") as want:  # fmt: skip
            return have.read() == want.read()

    def close(self):
        for child in reversed(self.children):
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
                try:
                    child.wait(10)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()
        if os.environ.get("FAULT_KEEP"):
            print("kept:", self.dir, file=sys.stderr)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)
