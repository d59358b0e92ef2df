#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A query server, a file server and a proxy with 64 switches.

server.py DIRECTORY [--virtual-time PAGE]

DIRECTORY holds pki/ (certificates, see site.sh) and site/ (a repository), and older/ (the same, one
publication before). Honest, it offers NEW to whoever runs something older, serves the repository with Range,
archives results. It listens on 127.0.0.1, as https://query.test, https://files.test and http://proxy.test, and
says on its first line which ports: {"query":P,"files":P,"proxy":P,"canary":P}. Then it obeys, a JSON object a
line, and answers each with one:

  {"do":"arm","fault":"rst-mid-body","phase":"segment","first":3,"times":2}
      from the first-th request of that phase on, so many times (absent: until cleared)
  {"do":"clear"}       all switches off; what hangs is let go
  {"do":"reset"}       the same, and nothing has happened yet
  {"do":"log"}         what it saw: requests, results, connections

Faults of a connection (catalogue.OF_CONNECTION) begin with a new connection: a request of their phase that
comes over one from before is answered by a reset, as a client that finds its connection dead would see it.

One thread, one loop. Whatever a switch sends, it sends as bytes made here: no HTTP library is in between.
Time is virtual if a page is given (virtualtime.c).
"""
import argparse
import email.utils
import gzip
import heapq
import json
import mmap
import os
import random
import re
import selectors
import socket
import ssl
import struct
import sys
import time
import warnings
import zlib

from catalogue import OF_CONNECTION, PHASES, Fault, by_word

OLD, NEW = "B202108010001", "B202109010001"
NEVER = 2**63 - 1
SEC = 1_000_000_000
HIGH_WATER = 256 << 10
FILLER = b"x" * 16384
LOWEST_SPEED = 100  # as gateway.py configures it, bytes a second
PACKET = 576
NOON = "Mon, 22 Nov 2021 12:00:00 GMT"
LATER = "Tue, 23 Nov 2021 12:00:00 GMT"


class Clock:
    """CLOCK_MONOTONIC as the gateway has it; see virtualtime.c."""

    OFFSET, ASKED, TOLD, DUE, REALTIME_SHIFT, RESOLVER, RESOLVER_HOST, ELSEWHERE = range(8)

    def __init__(self, page):
        self.ask = self.told = None
        self.page = bytearray(64)
        if page:
            with open(page, "r+b") as file:
                self.page = mmap.mmap(file.fileno(), 64)
            self.ask = os.open(page + ".ask", os.O_RDWR | os.O_NONBLOCK)
            self.told = os.open(page + ".told", os.O_RDWR | os.O_NONBLOCK)

    def __getitem__(self, word):
        return struct.unpack_from("=q", self.page, 8 * word)[0]

    def __setitem__(self, word, value):
        struct.pack_into("=q", self.page, 8 * word, value)

    def now(self):
        return time.monotonic_ns() + self[self.OFFSET]


class Request:
    def __init__(self, head, body=b""):
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.path, _ = (lines[0] + "  ").split(" ", 2)
        self.headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
        self.body = body
        self.phase = phase_of(self.path)


def phase_of(path):
    path = path.split("?")[0]
    if path.startswith("/v1/query"):
        return "query"
    if path.startswith("/v1/results/"):
        return "result"
    if path.startswith("/metadata/"):
        return "metadata"
    if re.search(r"\.seg\d+$", path):
        return "list"
    return "patch" if path.endswith(".patch") else "segment"


class Answer:
    """What honesty would say."""

    def __init__(self, status, body=b"", **headers):
        self.status, self.body = status, body
        self.headers = {k.replace("_", "-"): v for k, v in headers.items()}

    def head(self, *more, length=True, status=None, version="HTTP/1.1", without=()):
        status = status if status is not None else self.status
        fields = dict(self.headers)
        if length:
            fields["Content-Length"] = str(len(self.body)) if length is True else str(length)
        lines = [f"{version} {status} {REASONS.get(status, 'Whatever')}"]
        lines += [f"{k}: {v}" for k, v in fields.items() if k not in without]
        return "".join(line + "\r\n" for line in [*lines, *more, ""]).encode()


REASONS = {200: "OK", 201: "Created", 204: "No Content", 206: "Partial Content", 404: "Not Found"}


# ---- the event loop: connections, their tasks, timers --------------------------------------------


class Gone(Exception):
    """The other side is no more."""


class Connection:
    """One TCP connection. Its task is a generator that yields what it waits for:
    "input" (more bytes, or their end), "room" (not too much unsent), a number (seconds), None (for ever)."""

    def __init__(self, server, sock, host, context, task):
        self.server, self.sock, self.host = server, sock, host
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.tls, self.is_open, self.at_end = None, False, False
        self.input, self.output = b"", bytearray()
        self.wants, self.timer, self.ending = "input", None, None
        self.wire = None  # "bits" or "mtu"
        self.since_arm = server.arms
        self.n_requests = 0
        self.number = server.n_connections = server.n_connections + 1
        server.connections.add(self)
        if context:
            self.start_tls(context)
        else:
            self.is_open = True
        self.task = task(self)
        server.selector.register(sock, selectors.EVENT_READ, self)
        self.advance()

    def start_tls(self, context):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.is_open = False

    # -- what a task calls

    def send(self, data):
        if self.tls:
            for at in range(0, len(data), 16384):
                self.tls.write(data[at : at + 16384])
            data = self.outgoing.read()
        self.put(data)

    def reset(self):
        """What was sent before still arrives."""
        self.flush()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.drop()

    def close(self, notify=True):
        if self.tls and notify and self.is_open:
            try:
                self.tls.unwrap()
            except ssl.SSLError:
                pass
            self.put(self.outgoing.read())
        self.ending = "fin"
        self.flush()

    def starttls_for(self, host, context):
        """After CONNECT: what comes now is another conversation."""
        self.host = host
        self.flush()
        self.start_tls(context)

    # -- inside

    def put(self, data):
        if self.wire == "mtu" and len(data) > PACKET:
            self.wire = "lost"
        if self.wire == "lost":
            return
        self.output += data
        if self.wire == "bits":
            self.server.after(0, self.send_bit)
        else:
            self.flush()

    def send_bit(self):
        if self not in self.server.connections or not self.output:
            return
        try:
            del self.output[: self.sock.send(self.output[: random.randint(1, 400)])]
        except OSError:
            return self.drop()
        if self.output:
            self.server.after(random.random() / 5, self.send_bit)
        self.after_flush()

    def flush(self):
        if self.wire == "bits":
            return
        try:
            while self.output:
                del self.output[: self.sock.send(self.output)]
        except BlockingIOError:
            pass
        except OSError:
            return self.drop()
        self.after_flush()

    def after_flush(self):
        if self not in self.server.connections:
            return
        if self.ending and not self.output:
            self.ending = None
            self.wants = "nothing"
            try:
                self.sock.shutdown(socket.SHUT_WR)
            except OSError:
                self.drop()
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self.output and self.wire != "bits" else 0)
        self.server.selector.modify(self.sock, events, self)

    def drop(self):
        if self in self.server.connections:
            self.server.connections.discard(self)
            self.server.selector.unregister(self.sock)
            self.sock.close()
            if not self.task.gi_running:
                self.task.close()

    def on_event(self, mask):
        if mask & selectors.EVENT_WRITE:
            self.flush()
        if mask & selectors.EVENT_READ and self in self.server.connections:
            self.read()
        if self in self.server.connections:
            self.advance()

    def read(self):
        try:
            data = self.sock.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            return self.drop()
        if not data:
            self.at_end = True
            if self.wants in (None, "nothing", "room") or isinstance(self.wants, (int, float)):
                self.drop()  # nobody listens
            return
        if self.tls:
            self.incoming.write(data)
            self.read_tls()
        else:
            self.input += data

    def read_tls(self):
        try:
            if not self.is_open:
                self.tls.do_handshake()
                self.is_open = True
            while data := self.tls.read(1 << 18):
                self.input += data
            self.at_end = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self.server.tls_errors.append(str(error.reason))
            self.put(self.outgoing.read())
            return self.drop()
        self.put(self.outgoing.read())

    def is_ready(self):
        if self.wants == "input":
            return bool(self.input) or self.at_end
        return self.wants == "room" and len(self.output) < HIGH_WATER

    def advance(self):
        """Lets the task run as far as it can."""
        while self in self.server.connections and self.is_ready():
            self.step()

    def wake(self):
        if self in self.server.connections:
            self.step()
            self.advance()

    def step(self):
        try:
            self.wants = next(self.task)
        except StopIteration:
            if not self.ending:
                self.wants = "nothing"
            return
        except (Gone, OSError, ssl.SSLError):
            return self.drop()
        if isinstance(self.wants, (int, float)):
            self.server.after(self.wants, self.wake)


class Loop:
    def __init__(self, clock):
        self.clock = clock
        self.selector = selectors.DefaultSelector()
        self.timers, self.n_timers = [], 0
        self.connections, self.n_connections, self.n_slow = set(), 0, 0
        if clock.ask is not None:
            self.selector.register(clock.ask, selectors.EVENT_READ, self.on_asked)
        self.is_asked = False

    def after(self, seconds, call):
        self.n_timers += 1
        heapq.heappush(self.timers, (self.clock.now() + int(seconds * SEC), self.n_timers, call))

    def on_asked(self, _):
        os.read(self.clock.ask, 4096)
        self.is_asked = True

    def run_timers(self):
        while self.timers and self.timers[0][0] <= self.clock.now():
            heapq.heappop(self.timers)[2]()

    def tell(self):
        """Nothing is left to do before the next timer."""
        self.is_asked = False
        self.clock[Clock.DUE] = self.timers[0][0] if self.timers else NEVER
        self.clock[Clock.TOLD] = self.clock[Clock.ASKED]
        os.write(self.clock.told, b"x")

    def run(self):
        while True:
            self.run_timers()
            timeout = max(0, self.timers[0][0] - self.clock.now()) / SEC if self.timers else None
            events = self.selector.select(0 if self.is_asked else timeout)
            for key, mask in events:
                if isinstance(key.data, Connection):
                    if key.data in self.connections:
                        key.data.on_event(mask)
                else:
                    key.data(mask)
            if not events and self.is_asked:
                self.run_timers()
                self.tell()


# ---- the servers -----------------------------------------------------------------------------------


class Switch:
    def __init__(self, fault, phase, first=1, times=None):
        self.fault, self.phase, self.first, self.times = fault, phase, first, times
        self.seen = self.used = 0

    def is_over(self):
        return self.times is not None and self.used >= self.times

    def take(self):
        """One more request of the phase: is it hit?"""
        self.seen += 1
        if self.seen < self.first or self.is_over():
            return False
        self.used += 1
        return True


class Listener:
    """A port that can be closed, and full."""

    def __init__(self, server, address, host, port=0):
        self.server, self.host, self.address = server, host, address
        self.stuffing = []
        self.open(port)

    def open(self, port, backlog=64):
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        self.sock = socket.socket(family)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind((self.address, port))
        self.sock.listen(backlog)
        self.sock.setblocking(False)
        self.port = self.sock.getsockname()[1]
        self.state = "open"
        if backlog:
            self.server.selector.register(self.sock, selectors.EVENT_READ, self.accept)

    def close(self):
        if self.state == "open":
            self.server.selector.unregister(self.sock)
        self.sock.close()
        for sock in self.stuffing:
            sock.close()
        self.stuffing = []
        self.state = "closed"

    def fill(self):
        """First packets of a connection are lost from now on, since the queue is full."""
        self.close()
        self.open(self.port, backlog=0)
        self.state = "full"
        for _ in range(3):
            sock = socket.socket(self.sock.family)
            sock.setblocking(False)
            sock.connect_ex(self.sock.getsockname()[:2])
            self.stuffing.append(sock)

    def restore(self):
        if self.state != "open":
            self.close()
            self.open(self.port)

    def accept(self, _):
        try:
            sock, _ = self.sock.accept()
        except OSError:
            return
        self.server.on_connection(self, sock)


class Server(Loop):
    def __init__(self, directory, clock):
        super().__init__(clock)
        self.pki = os.path.join(directory, "pki")
        self.site, self.older = (load_site(os.path.join(directory, name)) for name in ("site", "older"))
        self.target = next((path.split(".", 1)[1] for path in self.site if path.endswith(f"{NEW}-amd64.tar.xz")), "")
        self.contexts = {}
        self.listeners = {
            "query": Listener(self, "127.0.0.1", "query.test"),
            "files": Listener(self, "127.0.0.1", "files.test"),
            "proxy": Listener(self, "127.0.0.1", "proxy.test"),
            "canary": Listener(self, "127.0.0.1", "canary.test"),
        }
        self.portals = [Listener(self, "127.0.0.2", "portal.test", self.listeners[n].port) for n in ("query", "files")]
        self.broken_ipv6 = []
        self.switches, self.arms = [], 0
        self.reset()

    def reset(self):
        self.clear()
        self.results, self.requests, self.tls_errors = {}, [], []
        self.canaries = self.heads = 0

    # -- switches

    def arm(self, fault, phase, first=1, times=None):
        self.arms += 1
        self.switches.append(Switch(fault, phase, first, times))
        if fault in OF_CONNECTION and first == 1 and phase in ("query", "metadata"):
            self.begin(self.switches[-1])

    def clear(self):
        self.switches = []
        self.arms += 1
        for listener in self.listeners.values():
            listener.restore()
        for listener in self.broken_ipv6:
            listener.close()
        self.broken_ipv6 = []
        for word in (Clock.RESOLVER, Clock.REALTIME_SHIFT):
            self.clock[word] = 0
        for connection in list(self.connections):
            connection.reset()
        self.timers = []

    def listener_of(self, phase):
        return self.listeners["query" if phase in ("query", "result") else "files"]

    def begin(self, switch):
        """New connections are what the switch says from now on."""
        listener = self.listener_of(switch.phase)
        resolver = {Fault.NXDOMAIN: 1, Fault.SERVFAIL: 2, Fault.CAPTIVE_PORTAL: 3, Fault.IPV6_BROKEN: 4}
        switch.has_begun = True
        if switch.fault == Fault.REFUSE:
            listener.close()
        elif switch.fault == Fault.BLACKHOLE_CONNECT:
            listener.fill()
        elif switch.fault in resolver:
            self.clock[Clock.RESOLVER_HOST] = int(listener.host == "files.test")
            self.clock[Clock.RESOLVER] = resolver[switch.fault]
            if switch.fault == Fault.IPV6_BROKEN:
                self.broken_ipv6.append(Listener(self, "::1", "broken", listener.port))
                self.broken_ipv6[-1].fill()

    def end(self, switch):
        if switch.is_over():
            if switch.fault in (Fault.REFUSE, Fault.BLACKHOLE_CONNECT):
                self.listener_of(switch.phase).restore()
            self.clock[Clock.RESOLVER] = 0

    # -- connections

    def context(self, name="server", **how):
        key = (name, *sorted(how))
        if key not in self.contexts:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.set_alpn_protocols(["http/1.1"])
            context.load_cert_chain(f"{self.pki}/{name}.pem", f"{self.pki}/{name}.key")
            if how.get("revoked"):
                context.verify_mode = ssl.CERT_REQUIRED
                context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
                context.load_verify_locations(f"{self.pki}/ca.pem")
                context.load_verify_locations(f"{self.pki}/crl.pem")
            if how.get("old"):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
                context.set_ciphers("DEFAULT@SECLEVEL=0")
            self.contexts[key] = context
        return self.contexts[key]

    def context_of(self, fault):
        names = {
            Fault.CERT_EXPIRED: "expired",
            Fault.CERT_WRONG_HOST: "wrong-host",
            Fault.CERT_SELF_SIGNED: "self-signed",
            Fault.CERT_UNKNOWN_CA: "unknown-ca",
            Fault.CERT_CHANGED: "server2",
        }
        if fault == Fault.CLIENT_CERT_REVOKED:
            return self.context(revoked=True)
        if fault == Fault.TLS_1_0:
            return self.context(old=True)
        return self.context(names.get(fault, "server"))

    def switch_of_connection(self, host):
        for switch in self.switches:
            if getattr(switch, "has_begun", False) and self.listener_of(switch.phase).host == host:
                return switch
        return None

    def on_connection(self, listener, sock):
        if listener.host == "canary.test":
            self.canaries += 1
            sock.close()
        elif listener.host == "portal.test":
            Connection(self, sock, listener.host, self.context("portal"), self.serve_portal)
        elif listener.host == "proxy.test":
            Connection(self, sock, listener.host, None, self.serve_proxy)
        else:
            switch = self.switch_of_connection(listener.host)
            fault = switch.fault if switch and not switch.is_over() else None
            if switch:
                switch.used += 1
                self.end(switch)
            connection = Connection(self, sock, listener.host, self.context_of(fault), self.serve)
            connection.wire = {Fault.REORDER_DUP: "bits", Fault.MTU_BLACKHOLE: "mtu"}.get(fault)

    # -- conversations

    def read_request(self, c):
        while b"\r\n\r\n" not in c.input:
            if c.at_end:
                raise Gone
            yield "input"
        head, _, c.input = c.input.partition(b"\r\n\r\n")
        request = Request(head)
        size = int(request.headers.get("content-length", 0))
        while len(c.input) < size:
            if c.at_end:
                raise Gone
            yield "input"
        request.body, c.input = c.input[:size], c.input[size:]
        c.n_requests += 1
        return request

    def serve(self, c):
        while True:
            request = yield from self.read_request(c)
            entry = {
                "t": self.clock.now() / SEC,
                "phase": request.phase,
                "method": request.method,
                "path": request.path,
                "range": request.headers.get("range"),
                "connection": c.number,
                "fault": None,
                "sent": 0,
            }
            request.log = entry
            self.requests.append(entry)
            switch = self.hit(request)
            fault = switch.fault if switch else None
            if fault in OF_CONNECTION:
                if c.since_arm < self.arms or not getattr(switch, "has_begun", False):
                    entry["fault"] = fault.word
                    self.begin(switch)
                    c.reset()
                    for other in list(self.connections):
                        if other.host == c.host:
                            other.reset()
                    raise Gone
                fault = None
            entry["fault"] = fault.word if fault else None
            answer = self.answer(request, fault)
            if fault:
                yield from BEHAVIOUR[fault](self, c, request, answer)
            else:
                c.send(answer.head() + (b"" if request.method == "HEAD" else answer.body))
            yield "room"

    def hit(self, request):
        for switch in self.switches:
            if switch.phase != request.phase:
                continue
            if switch.fault in OF_CONNECTION:
                if getattr(switch, "has_begun", False):
                    return switch
                switch.seen += 1
                if switch.seen >= switch.first and not switch.is_over():
                    return switch
            elif switch.take():
                return switch
        return None

    def serve_portal(self, c):
        yield from self.read_request(c)
        c.send(Answer(200, b"<html>Pay here</html>", Content_Type="text/html").head() + b"<html>Pay here</html>")

    def serve_proxy(self, c):
        """CONNECT HOST:PORT, and from then on it is that server."""
        request = yield from self.read_request(c)
        host = request.path.split(":")[0]
        switch = self.switch_of_connection(host)
        fault = switch.fault if switch and not switch.is_over() else None
        if switch:
            switch.used += 1
            self.end(switch)
        self.requests.append({"t": self.clock.now() / SEC, "phase": "proxy", "method": request.method,
                              "path": request.path, "range": None, "connection": c.number,
                              "fault": fault.word if fault else None, "sent": 0})  # fmt: skip
        if request.method != "CONNECT" or host not in ("query.test", "files.test"):
            c.send(Answer(403).head())
        elif fault == Fault.PROXY_407:
            c.send(Answer(407, b"who are you?", Proxy_Authenticate='Basic realm="x"').head() + b"who are you?")
        elif fault == Fault.PROXY_DIES:
            c.send(b"HTTP/1.1 200 Conn")
            c.reset()
        else:
            c.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
            c.starttls_for(host, self.context_of(fault))
            yield from self.serve(c)
        c.close()

    # -- honest answers

    def answer(self, request, fault):
        if request.method == "HEAD":
            self.heads += 1
        if request.phase == "query":
            return self.answer_query(request)
        if request.phase == "result":
            return self.answer_result(request, fault)
        return self.answer_file(request, self.site)

    def answer_query(self, request):
        running = json.loads(request.body)["programs"]["B"]["version"]
        answer = {"new": []}
        if running < NEW:
            answer["new"] = [{"program": "B", "version": NEW, "target": "B/" + self.target}]
            answer["file_server"] = f"https://files.test:{self.listeners['files'].port}"
        return Answer(200, json.dumps(answer).encode(), Content_Type="application/json")

    def answer_result(self, request, fault):
        if fault in NOT_STORED:
            return Answer(200, b"{}", Content_Type="application/json")
        txid = request.path.rsplit("/", 1)[1]
        status = 200 if txid in self.results else 201
        known = self.results.setdefault(txid, {"body": json.loads(request.body), "times": 0})
        known["times"] += 1
        return Answer(status, b"{}", Content_Type="application/json")

    @staticmethod
    def answer_file(request, site):
        body = site.get(request.path.split("?")[0])
        if body is None:
            return Answer(404, b"there is no such file")
        fields = {"ETag": f'"{zlib.crc32(body):08x}"', "Last-Modified": NOON, "Accept-Ranges": "bytes"}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
        condition = request.headers.get("if-range")
        if not wanted or (condition and condition not in (fields["ETag"], NOON)):
            return Answer(200, body, **fields)
        first, last = int(wanted[1]), min(int(wanted[2] or len(body)), len(body) - 1)
        if first > last:
            return Answer(416, Content_Range=f"bytes */{len(body)}", **fields)
        answer = Answer(206, body[first : last + 1], Content_Range=f"bytes {first}-{last}/{len(body)}", **fields)
        answer.first, answer.last, answer.total = first, last, len(body)
        return answer

    # -- orders

    def on_order(self, _):
        line = sys.stdin.readline()
        if not line:
            sys.exit(0)
        order = json.loads(line)
        said = {}
        if order["do"] == "arm":
            self.arm(by_word(order["fault"]), order["phase"], order.get("first", 1), order.get("times"))
        elif order["do"] == "clear":
            self.clear()
        elif order["do"] == "reset":
            self.reset()
        elif order["do"] == "log":
            said = {
                "requests": self.requests,
                "results": self.results,
                "connections": self.n_connections,
                "canaries": self.canaries,
                "heads": self.heads,
                "tls_errors": self.tls_errors,
                "used": [switch.used for switch in self.switches],
                "now": self.clock.now() / SEC,
            }
        print(json.dumps(said), flush=True)


def load_site(directory):
    site = {}
    for at, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(at, name)
            with open(path, "rb") as file:
                site["/" + os.path.relpath(path, directory)] = file.read()
    return site


# ---- what the switches do --------------------------------------------------------------------------

BEHAVIOUR = {}
# The query server never saw the result, or says that it did not take it.
NOT_STORED = frozenset(
    Fault[n]
    for n in (
        "RST_BEFORE_STATUS STATUS_204 REDIRECT_HTTP REDIRECT_HOST REDIRECT_SCHEME REDIRECT_LOOP REDIRECT_51"
        " REDIRECT_INTERNAL STATUS_429 STATUS_503 RETRY_AFTER_ODD STATUS_500 FILE_404"
    ).split()
)


def behaves(fault):
    def keep(function):
        BEHAVIOUR[fault] = function
        return function

    return keep


def for_ever(c, piece):
    while True:
        c.send(piece)
        yield "room"


def slowly(c, data, bytes_per_sec):
    """All that are slow at a time are that slow together: it is the link."""
    c.server.n_slow += 1
    try:
        for at in range(0, len(data), bytes_per_sec):
            c.send(data[at : at + bytes_per_sec])
            yield c.server.n_slow
    finally:
        c.server.n_slow -= 1


def say(c, answer, *more, body=None, **how):
    """One odd answer, and the connection stays."""
    body = answer.body if body is None else body
    how.setdefault("length", len(body) if body else "0")
    c.send(answer.head(*more, **how) + body)
    yield "room"


def say_and_close(c, data, notify=True):
    c.send(data)
    c.close(notify)
    yield None


@behaves(Fault.RST_BEFORE_STATUS)
def _(s, c, q, a):
    c.reset()
    yield None


@behaves(Fault.RST_MID_BODY)
def _(s, c, q, a):
    c.send(a.head() + a.body[: len(a.body) // 2])
    c.reset()
    yield None


def half(q, a):
    q.log["sent"] = len(a.body) // 2
    return a.body[: len(a.body) // 2]


@behaves(Fault.FIN_EARLY)
def _(s, c, q, a):
    return say_and_close(c, a.head() + half(q, a))


@behaves(Fault.BLACKHOLE_AFTER_HEADERS)
def _(s, c, q, a):
    c.send(a.head())
    yield None


@behaves(Fault.SLOW_LORIS)
def _(s, c, q, a):
    c.send(a.head())
    return (yield from slowly(c, a.body, 1))


@behaves(Fault.SLOW_LORIS_HEADERS)
def _(s, c, q, a):
    yield from slowly(c, a.head("X-Filler: " + "x" * 400) + a.body, 1)


@behaves(Fault.JUST_ABOVE_LIMIT)
def _(s, c, q, a):
    c.send(a.head())
    return (yield from slowly(c, a.body, LOWEST_SPEED * 3 // 2))


@behaves(Fault.ENDLESS_BODY)
def _(s, c, q, a):
    c.send(a.head("Connection: close", length=False) + a.body)
    return (yield from for_ever(c, FILLER))


@behaves(Fault.ENDLESS_CHUNKED)
def _(s, c, q, a):
    c.send(a.head("Transfer-Encoding: chunked", length=False) + b"%x\r\n%b\r\n" % (len(a.body) or 1, a.body or b"x"))
    return (yield from for_ever(c, b"4000\r\n" + FILLER + b"\r\n"))


@behaves(Fault.ENDLESS_HEADERS)
def _(s, c, q, a):
    c.send(a.head()[:-2])
    return (yield from for_ever(c, b"X-Filler: filler\r\n" * 500))


@behaves(Fault.HUGE_HEADER)
def _(s, c, q, a):
    c.send(a.head()[:-2] + b"X-Filler: ")
    for _ in range(64):
        c.send(FILLER)
        yield "room"
    c.send(b"\r\n\r\n" + a.body)


@behaves(Fault.STATUS_200)
def _(s, c, q, a):
    whole = s.site[q.path]
    return say(c, a, body=whole, status=200, without=("Content-Range",))


def with_range(c, a, text, body=None):
    a.headers["Content-Range"] = text
    return say(c, a, body=body)


@behaves(Fault.WRONG_START)
def _(s, c, q, a):
    return with_range(c, a, f"bytes {a.first + 1}-{a.last}/{a.total}", a.body[1:])


@behaves(Fault.WRONG_END)
def _(s, c, q, a):
    return with_range(c, a, f"bytes {a.first}-{a.last - 1}/{a.total}", a.body[:-1])


@behaves(Fault.WRONG_TOTAL)
def _(s, c, q, a):
    return with_range(c, a, f"bytes {a.first}-{a.last}/{a.total + 1}")


@behaves(Fault.UNKNOWN_TOTAL)
def _(s, c, q, a):
    return with_range(c, a, f"bytes */{a.total}")


@behaves(Fault.NO_CONTENT_RANGE)
def _(s, c, q, a):
    return say(c, a, without=("Content-Range",))


@behaves(Fault.GARBLED_CONTENT_RANGE)
def _(s, c, q, a):
    return with_range(c, a, f"byte {a.first}..{a.last} of {a.total}")


@behaves(Fault.MULTIPART)
def _(s, c, q, a):
    part = f"--sep\r\nContent-Type: application/octet-stream\r\nContent-Range: {a.headers['Content-Range']}\r\n\r\n"
    a.headers["Content-Type"] = "multipart/byteranges; boundary=sep"
    return say(c, a, body=part.encode() + a.body + b"\r\n--sep--\r\n", without=("Content-Range",))


@behaves(Fault.STATUS_416)
def _(s, c, q, a):
    return say(c, Answer(416, Content_Range=f"bytes */{len(s.site[q.path])}"))


@behaves(Fault.LENGTH_NOT_RANGE)
def _(s, c, q, a):
    return say(c, a, body=a.body + b"12345")


@behaves(Fault.TWO_LENGTHS)
def _(s, c, q, a):
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(a.body), a.body) if a.body else b"0\r\n\r\n"
    return say_and_close(c, a.head("Transfer-Encoding: chunked") + chunked)


def another_file(a):
    """As long, of other bytes."""
    a.body = bytes(255 - byte for byte in a.body)
    return a


@behaves(Fault.ETAG_CHANGED)
def _(s, c, q, a):
    if q.headers.get("if-range"):  # an honest server of another file
        whole = Answer(200, bytes(255 - byte for byte in s.site[q.path]), ETag='"another"', Last_Modified=LATER)
        return say(c, whole)
    a.headers["ETag"] = '"another"'
    return say(c, another_file(a))


@behaves(Fault.LAST_MODIFIED_CHANGED)
def _(s, c, q, a):
    a.headers["Last-Modified"] = LATER
    return say(c, another_file(a), without=("ETag",))


@behaves(Fault.GZIP)
def _(s, c, q, a):
    a.headers["Content-Encoding"] = "gzip"
    return say(c, a, body=gzip.compress(a.body))


BOMB = []


@behaves(Fault.GZIP_BOMB)
def _(s, c, q, a):
    if not BOMB:
        packer = zlib.compressobj(9, zlib.DEFLATED, 31)
        zeros = bytes(1 << 20)
        BOMB.append(gzip.compress(b"".join(packer.compress(zeros) for _ in range(64)) + packer.flush()))
    a.headers["Content-Encoding"] = "gzip, gzip"
    return say(c, a, body=BOMB[0])


@behaves(Fault.HTTP_1_0)
def _(s, c, q, a):
    return say_and_close(c, a.head(version="HTTP/1.0", length=False) + a.body)


@behaves(Fault.STATUS_204)
def _(s, c, q, a):
    odd = Answer(304 if "if-range" in q.headers else 204)
    return say(c, odd, length=False)


@behaves(Fault.HEAD_DIFFERS)
def _(s, c, q, a):
    if q.method == "HEAD":
        return say(c, a, body=b"", length=7)
    return say(c, a)


@behaves(Fault.STALE_CACHE)
def _(s, c, q, a):
    if q.phase == "query":
        old = {"new": [{"program": "B", "version": OLD, "target": "B/" + s.target.replace(NEW, OLD)}]}
        return say(c, a, "Age: 86400", body=json.dumps(old).encode())
    if q.phase in ("segment", "patch"):  # what it kept of another file, put together with today's head
        return say(c, another_file(a), "Age: 86400")
    return say(c, s.answer_file(q, s.older), "Age: 86400")


@behaves(Fault.INTERIM_FLOOD)
def _(s, c, q, a):
    return for_ever(c, b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 500)


@behaves(Fault.TRAILERS)
def _(s, c, q, a):
    chunk = b"%x\r\n%b\r\n" % (len(a.body), a.body) if a.body else b""
    trailers = b"0\r\nX-Sum: 12\r\nContent-Range: bytes 0-0/1\r\n\r\n"
    return say(c, a, "Trailer: X-Sum, Content-Range", "Transfer-Encoding: chunked", length=False, body=chunk + trailers)


@behaves(Fault.STATUS_2000)
def _(s, c, q, a):
    return say_and_close(c, a.head(status=2000) + a.body)


def redirect(c, location):
    return say(c, Answer(302, b"over there", Location=location))


def own_url(s, q):
    listener = s.listener_of(q.phase)
    return f"https://{listener.host}:{listener.port}"


@behaves(Fault.REDIRECT_HTTP)
def _(s, c, q, a):
    return redirect(c, f"http://files.test:{s.listeners['canary'].port}{q.path}")


@behaves(Fault.REDIRECT_HOST)
def _(s, c, q, a):
    return redirect(c, f"https://127.0.0.1:{s.listeners['canary'].port}{q.path}")


@behaves(Fault.REDIRECT_SCHEME)
def _(s, c, q, a):
    port = s.listeners["canary"].port
    return redirect(c, "file:///etc/passwd" if c.n_requests % 2 else f"ftp://files.test:{port}{q.path}")


@behaves(Fault.REDIRECT_LOOP)
def _(s, c, q, a):
    return redirect(c, own_url(s, q) + q.path)


@behaves(Fault.REDIRECT_51)
def _(s, c, q, a):
    hop = int((re.search(r"\?hop=(\d+)", q.path) or [0, 0])[1]) + 1
    plain = q.path.split("?")[0]
    if hop > 51:
        q.path = plain
        return say(c, s.answer_file(q, s.site))
    return redirect(c, f"{own_url(s, q)}{plain}?hop={hop}")


@behaves(Fault.REDIRECT_INTERNAL)
def _(s, c, q, a):
    port = s.listeners["canary"].port
    return redirect(c, "https://169.254.169.254/latest/" if c.n_requests % 2 else f"https://127.0.0.1:{port}/")


@behaves(Fault.NO_CLOSE_NOTIFY)
def _(s, c, q, a):
    return say_and_close(c, a.head("Connection: close", length=False) + half(q, a), notify=False)


@behaves(Fault.STATUS_429)
def _(s, c, q, a):
    return say(c, Answer(429, b"slowly", Retry_After="120"))


@behaves(Fault.STATUS_503)
def _(s, c, q, a):
    now = time.time() + s.clock[Clock.OFFSET] / SEC
    date, later = (email.utils.formatdate(t, usegmt=True) for t in (now, now + 120))
    return say(c, Answer(503, b"later", Date=date, Retry_After=later))


@behaves(Fault.RETRY_AFTER_ODD)
def _(s, c, q, a):
    odd = ("315360000", "-5", "soon", "1e3", "Mon, 31 Feb 2099 25:61:61 GMT")
    return say(c, Answer(503, b"later", Retry_After=odd[len(s.requests) % len(odd)]))


@behaves(Fault.STATUS_500)
def _(s, c, q, a):
    return say(c, Answer(500, b"<html>oh</html>", Content_Type="text/html"))


@behaves(Fault.FILE_404)
def _(s, c, q, a):
    return say(c, Answer(404, b"<html>gone</html>", Content_Type="text/html"))


@behaves(Fault.ACK_LOST)
def _(s, c, q, a):
    c.reset()
    yield None


@behaves(Fault.CLOCK_1970)
def _(s, c, q, a):
    """The gateway's clock is not ours: run.py sets it."""
    return say(c, a)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("directory")
    parser.add_argument("--virtual-time")
    options = parser.parse_args()
    server = Server(options.directory, Clock(options.virtual_time))
    server.selector.register(sys.stdin, selectors.EVENT_READ, server.on_order)
    print(json.dumps({name: listener.port for name, listener in server.listeners.items()}), flush=True)
    server.run()


if __name__ == "__main__":
    assert set(BEHAVIOUR) | OF_CONNECTION == set(Fault) and PHASES
    main()
