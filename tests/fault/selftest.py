#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Does each switch of server.py do what it says? Seen from outside: sockets, and TLS by Python's ssl module."""
import email.utils
import errno
import gzip
import json
import os
import random

import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import warnings
import zlib

sys.dont_write_bytecode = True
from catalogue import OF_CONNECTION, Fault  # noqa: E402
from gateway import HERE, NEW, OLD, SEC, Page  # noqa: E402
from server import BEHAVIOUR  # noqa: E402

FILE = random.Random(7).randbytes(20000)
LIST = random.Random(8).randbytes(300)
TARGET = f"/targets/B/{'ab' * 32}.{NEW}-amd64.tar.xz"
TXID = "6b1f0c1e-0d6b-4f6e-9a51-000000000001"
ENOUGH = 1 << 20
RANGE = "Range: bytes=4096-8191"
PART = FILE[4096:8192]
QUERY = json.dumps({"programs": {"B": {"version": OLD}}}).encode()
checks = {}


class Site:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="fault-self-")
        subprocess.run([HERE + "/site.sh", "-", self.dir], check=True)
        for name, text in (("site", b'{"now":1}'), ("older", b'{"then":1}')):
            self.write(f"{name}/metadata/timestamp.json", text)
        self.write("site" + TARGET, FILE)
        self.write("site" + TARGET + ".seg4096", LIST)
        self.preload = self.dir + "/virtualtime.so"
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", self.preload, HERE + "/virtualtime.c", "-ldl"], check=True)
        self.page = Page(self.dir + "/time")
        self.server = subprocess.Popen(["/usr/bin/python3", HERE + "/server.py", self.dir, "--virtual-time", self.page.name],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)  # fmt: skip
        self.ports = json.loads(self.server.stdout.readline())

    def write(self, name, data):
        os.makedirs(os.path.dirname(f"{self.dir}/{name}"), exist_ok=True)
        with open(f"{self.dir}/{name}", "wb") as file:
            file.write(data)

    def order(self, do, **what):
        print(json.dumps({"do": do, **what}), file=self.server.stdin, flush=True)
        return json.loads(self.server.stdout.readline())

    def arm(self, fault, phase, **how):
        self.order("arm", fault=fault.word, phase=phase, **how)

    def ask(self):
        """As virtualtime.c does."""
        self.page[Page.ASKED] += 1
        with open(self.page.name + ".ask", "r+b", buffering=0) as pipe:
            pipe.write(b"x")
        end = time.monotonic() + 10
        while self.page[Page.TOLD] != self.page[Page.ASKED]:
            assert time.monotonic() < end, "the server does not tell"
            time.sleep(0.001)
        return self.page[Page.DUE]

    def advance(self):
        """To when the server does something by itself."""
        due = self.ask()
        assert due < 2**63 - 1, "the server has nothing to do"
        self.page[Page.OFFSET] += max(0, due - self.page.now())
        self.ask()

    def preloaded(self, code):
        env = dict(os.environ, LD_PRELOAD=self.preload, VIRTUAL_TIME=self.page.name)
        done = subprocess.run(["/usr/bin/python3", "-c", code], env=env, capture_output=True, text=True)
        return done.stdout.strip() or done.stderr

    def close(self):
        self.server.stdin.close()
        self.server.wait()
        shutil.rmtree(self.dir)


site = None


def context(old=False, client=False):
    c = ssl.create_default_context(cafile=site.dir + "/pki/ca.pem")
    c.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    if old:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            c.minimum_version = c.maximum_version = ssl.TLSVersion.TLSv1
        c.set_ciphers("DEFAULT@SECLEVEL=0")
    if client:
        c.load_cert_chain(site.dir + "/pki/client.pem", site.dir + "/pki/client.key")
    return c


class Tls:
    """A client whose TCP side can be told from its TLS side, which ssl.SSLSocket does not."""

    def __init__(self, sock, how, name):
        self.sock = sock
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = how.wrap_bio(self.incoming, self.outgoing, server_hostname=name)
        self.settimeout = sock.settimeout
        try:
            self.until_done(self.tls.do_handshake)
        except BaseException:
            sock.close()
            raise

    def until_done(self, call, *arguments):
        while True:
            try:
                done = call(*arguments)
                self.flush()
                return done
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLWantReadError:
                self.flush()
                data = self.sock.recv(65536)
                self.incoming.write(data) if data else self.incoming.write_eof()

    def flush(self):
        if self.outgoing.pending:
            self.sock.sendall(self.outgoing.read())

    def recv(self, size):
        return self.until_done(self.tls.read, size)

    def sendall(self, data):
        self.until_done(self.tls.write, data)

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def connect(host="files", address="127.0.0.1", timeout=5, how=None, sock=None):
    sock = sock or socket.create_connection((address, site.ports[host]), timeout=timeout)
    return Tls(sock, how or context(), f"{host}.test")


class Said:
    """What came: head, fields, body; and how it ended: fin, rst, cut (no close_notify), open, enough."""

    def __init__(self, data, end):
        self.data, self.end = data, end
        head, self.has_head, self.body = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.status = lines[0].split(" ")[1] if " " in lines[0] else ""
        self.version = lines[0].split(" ")[0]
        self.fields = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}

    @property
    def length(self):
        return int(self.fields["content-length"])


def hear(sock, wait=5, limit=ENOUGH, until=None):
    """Until it ends, is enough, or is silent for so many seconds: many, since the machine may be busy with
    something else. Where nothing more is to come, until tells it; after an answer that is whole only a moment is waited."""
    data, end = b"", "open"
    sock.settimeout(wait)
    while len(data) < limit:
        try:
            more = sock.recv(65536)
        except ConnectionResetError:
            end = "rst"
            break
        except ssl.SSLError as error:
            if "UNEXPECTED_EOF" not in str(error):
                raise
            end = "cut"
            break
        except TimeoutError:
            break
        if not more:
            end = "fin"
            break
        data += more
        said = Said(data, end)
        whole = said.length if "content-length" in said.fields else 0 if said.status in ("204", "304") else -1
        if said.has_head and len(said.body) == whole or until and until(said):
            sock.settimeout(0.02)
    else:
        end = "enough"
    return Said(data, end)


def has_head(said):
    return said.has_head


def request(phase, *fields, method=None):
    paths = {"query": "/v1/query", "metadata": "/metadata/timestamp.json", "list": TARGET + ".seg4096",
             "segment": TARGET, "result": f"/v1/results/{TXID}"}  # fmt: skip
    methods = {"query": "POST", "result": "PUT"}
    body = {"query": QUERY, "result": b'{"outcome":"confirmed"}'}.get(phase, b"")
    lines = [f"{method or methods.get(phase, 'GET')} {paths[phase]} HTTP/1.1", "Host: x", *fields]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def host_of(phase):
    return "query" if phase in ("query", "result") else "files"


def say(phase="segment", *fields, sock=None, method=None, **how):
    if phase == "segment" and not fields:
        fields = (RANGE,)
    with sock or connect(host_of(phase)) as s:
        s.sendall(request(phase, *fields, method=method))
        return hear(s, **how)


def check(*faults):
    """Keeps the function as the check of these faults."""

    def keep(function):
        for fault in faults:
            checks[Fault[fault]] = function
        return function

    return keep


def show(value):
    if isinstance(value, tuple):
        return "(" + ", ".join(show(one) for one in value) + ")"
    return f"{len(value)} bytes" if isinstance(value, bytes) and len(value) > 60 else repr(value)


def equal(got, wanted):
    assert got == wanted, f"{show(got)} instead of {show(wanted)}"


# ---- A ----


@check("REFUSE")
def _(fault):
    site.arm(fault, "metadata")
    try:
        connect()
        raise AssertionError("somebody listens")
    except ConnectionRefusedError:
        pass
    say("query")


@check("BLACKHOLE_CONNECT")
def _(fault):
    site.arm(fault, "metadata")
    try:
        connect(timeout=0.3)
        raise AssertionError("somebody answers")
    except TimeoutError:
        pass
    say("query")


@check("RST_BEFORE_STATUS")
def _(fault):
    site.arm(fault, "segment")
    said = say()
    equal((said.data, said.end), (b"", "rst"))


@check("RST_MID_BODY", "FIN_EARLY")
def _(fault):
    site.arm(fault, "segment")
    said = say()
    equal((said.length, said.body), (4096, PART[:2048]))
    equal(said.end, "rst" if fault == Fault.RST_MID_BODY else "fin")


@check("BLACKHOLE_AFTER_HEADERS")
def _(fault):
    site.arm(fault, "segment")
    said = say(until=has_head)
    equal((said.length, said.body, said.end), (4096, b"", "open"))


@check("SLOW_LORIS", "SLOW_LORIS_HEADERS", "JUST_ABOVE_LIMIT")
def _(fault):
    site.arm(fault, "segment")
    sock = connect()
    sock.sendall(request("segment", RANGE))
    said = hear(sock, until=lambda said: said.has_head or fault == Fault.SLOW_LORIS_HEADERS)
    before = len(said.data)
    equal(bool(said.has_head), fault != Fault.SLOW_LORIS_HEADERS)
    began = site.page.now()
    for _ in range(10):
        site.advance()
    said = hear(sock, wait=0.1)
    rate = len(said.data) / ((site.page.now() - began) / SEC)
    wanted = 150 if fault == Fault.JUST_ABOVE_LIMIT else 1
    assert before and wanted * 0.8 <= rate <= wanted * 1.2, f"{rate:.2f} bytes a second"
    sock.close()


@check("ENDLESS_BODY", "ENDLESS_CHUNKED")
def _(fault):
    site.arm(fault, "segment")
    said = say()
    equal(said.end, "enough")
    assert "content-length" not in said.fields
    equal(said.fields.get("transfer-encoding"), "chunked" if fault == Fault.ENDLESS_CHUNKED else None)
    assert PART[:1000] in said.body


@check("ENDLESS_HEADERS", "HUGE_HEADER")
def _(fault):
    site.arm(fault, "segment")
    said = say(limit=ENOUGH + 20000)
    line = max(said.data.split(b"\r\n"), key=len)
    if fault == Fault.HUGE_HEADER:
        assert len(line) >= ENOUGH and said.body == PART, len(line)
    else:
        assert said.end == "enough" and not said.has_head and len(line) < 1000


@check("REORDER_DUP")
def _(fault):
    site.arm(fault, "metadata")
    sock = socket.create_connection(("127.0.0.1", site.ports["files"]))
    sock.setblocking(False)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context().wrap_bio(incoming, outgoing, server_hostname="files.test")
    pieces, answer, is_asked = 0, b"", False
    while PART not in answer:
        try:
            if not is_asked:
                tls.do_handshake()
                tls.write(request("segment", RANGE))
                is_asked = True
            answer += tls.read(65536)
        except ssl.SSLWantReadError:
            pass
        if outgoing.pending:
            sock.send(outgoing.read())
        if site.ask() < 2**63 - 1:
            site.advance()
        try:
            incoming.write(sock.recv(65536))
            pieces += 1
        except BlockingIOError:
            pass
    assert pieces > 15, f"{pieces} pieces"
    sock.close()


@check("MTU_BLACKHOLE")
def _(fault):
    site.arm(fault, "metadata")
    try:
        connect(timeout=0.3)
        raise AssertionError("the certificate comes through")
    except TimeoutError:
        pass


@check("IPV6_BROKEN")
def _(fault):
    site.arm(fault, "metadata")
    try:
        connect(address="::1", timeout=0.3)
        raise AssertionError("IPv6 works")
    except TimeoutError:
        pass
    connect().close()
    addresses = site.preloaded("import socket; print([a[4][0] for a in socket.getaddrinfo('files.test', 1, type=1)])")
    equal(addresses, "['::1', '127.0.0.1']")


# ---- B ----


@check("STATUS_200")
def _(fault):
    site.arm(fault, "segment")
    said = say()
    equal((said.status, said.body, said.fields.get("content-range")), ("200", FILE, None))


@check("WRONG_START", "WRONG_END", "WRONG_TOTAL", "UNKNOWN_TOTAL", "GARBLED_CONTENT_RANGE", "NO_CONTENT_RANGE")
def _(fault):
    site.arm(fault, "segment")
    said = say()
    wanted = {
        Fault.WRONG_START: ("bytes 4097-8191/20000", PART[1:]),
        Fault.WRONG_END: ("bytes 4096-8190/20000", PART[:-1]),
        Fault.WRONG_TOTAL: ("bytes 4096-8191/20001", PART),
        Fault.UNKNOWN_TOTAL: ("bytes */20000", PART),
        Fault.GARBLED_CONTENT_RANGE: ("byte 4096..8191 of 20000", PART),
        Fault.NO_CONTENT_RANGE: (None, PART),
    }[fault]
    equal((said.status, said.fields.get("content-range"), said.body), ("206", *wanted))


@check("MULTIPART")
def _(fault):
    site.arm(fault, "segment")
    said = say()
    equal(said.fields["content-type"], "multipart/byteranges; boundary=sep")
    assert said.status == "206" and PART in said.body and said.body.endswith(b"--sep--\r\n")


@check("STATUS_416")
def _(fault):
    site.arm(fault, "segment")
    said = say()
    equal((said.status, said.fields["content-range"]), ("416", "bytes */20000"))


@check("LENGTH_NOT_RANGE")
def _(fault):
    site.arm(fault, "segment")
    said = say()
    equal((said.length, said.fields["content-range"]), (4101, "bytes 4096-8191/20000"))


@check("TWO_LENGTHS")
def _(fault):
    site.arm(fault, "segment")
    said = say()
    equal((said.fields["content-length"], said.fields["transfer-encoding"]), ("4096", "chunked"))


@check("ETAG_CHANGED", "LAST_MODIFIED_CHANGED")
def _(fault):
    honest = say()
    site.arm(fault, "segment")
    said = say("segment", RANGE, "If-Range: " + honest.fields["last-modified"]) if fault == 29 else say()
    field = "etag" if fault == Fault.ETAG_CHANGED else "last-modified"
    equal(said.status, "206")
    assert said.fields[field] != honest.fields[field] and len(said.body) == 4096 and said.body != PART
    if fault == Fault.ETAG_CHANGED:
        said = say("segment", RANGE, "If-Range: " + honest.fields["etag"])
        equal((said.status, len(said.body)), ("200", 20000))


@check("GZIP")
def _(fault):
    site.arm(fault, "segment")
    said = say()
    equal((said.fields["content-encoding"], gzip.decompress(said.body)), ("gzip", PART))


@check("GZIP_BOMB")
def _(fault):
    site.arm(fault, "segment")
    said = say(wait=20)
    once = gzip.decompress(said.body)
    equal((said.fields["content-encoding"], len(zlib.decompress(once, 31))), ("gzip, gzip", 64 << 20))
    assert len(said.body) < 10000


@check("HTTP_1_0")
def _(fault):
    site.arm(fault, "segment")
    said = say()
    equal((said.version, said.body, said.end), ("HTTP/1.0", PART, "fin"))
    assert "content-length" not in said.fields


@check("STATUS_204")
def _(fault):
    site.arm(fault, "segment")
    equal((say().status, say("segment", RANGE, "If-Range: x").status), ("204", "304"))


@check("HEAD_DIFFERS")
def _(fault):
    site.arm(fault, "segment")
    equal((say("segment", RANGE, method="HEAD", until=has_head).length, say().length), (7, 4096))


@check("STALE_CACHE")
def _(fault):
    site.arm(fault, "query")
    site.arm(fault, "metadata")
    equal([offer["version"] for offer in json.loads(say("query").body)["new"]], [OLD])
    equal(say("metadata").body, b'{"then":1}')
    honest = say()
    site.arm(fault, "segment")
    stale = say()
    equal((stale.status, stale.fields["content-range"]), ("206", honest.fields["content-range"]))
    equal(stale.body, bytes(255 - byte for byte in honest.body))


@check("INTERIM_FLOOD")
def _(fault):
    site.arm(fault, "segment")
    said = say()
    assert said.end == "enough" and said.data.count(b"HTTP/1.1 103 ") > 1000 and b" 206 " not in said.data


@check("TRAILERS")
def _(fault):
    site.arm(fault, "segment")
    said = say(until=lambda said: said.data.endswith(b"/1\r\n\r\n"))
    equal((said.fields["transfer-encoding"], said.fields["trailer"]), ("chunked", "X-Sum, Content-Range"))
    equal(said.body, b"1000\r\n" + PART + b"\r\n0\r\nX-Sum: 12\r\nContent-Range: bytes 0-0/1\r\n\r\n")


@check("STATUS_2000")
def _(fault):
    site.arm(fault, "segment")
    assert say().data.startswith(b"HTTP/1.1 2000 ")


# ---- C ----


@check("REDIRECT_HTTP", "REDIRECT_HOST", "REDIRECT_SCHEME", "REDIRECT_LOOP", "REDIRECT_51", "REDIRECT_INTERNAL")
def _(fault):
    site.arm(fault, "segment")
    canary, files = site.ports["canary"], site.ports["files"]
    wanted = {
        Fault.REDIRECT_HTTP: {f"http://files.test:{canary}{TARGET}"},
        Fault.REDIRECT_HOST: {f"https://127.0.0.1:{canary}{TARGET}"},
        Fault.REDIRECT_SCHEME: {"file:///etc/passwd", f"ftp://files.test:{canary}{TARGET}"},
        Fault.REDIRECT_LOOP: {f"https://files.test:{files}{TARGET}"},
        Fault.REDIRECT_51: {f"https://files.test:{files}{TARGET}?hop=1"},
        Fault.REDIRECT_INTERNAL: {"https://169.254.169.254/latest/", f"https://127.0.0.1:{canary}/"},
    }[fault]
    got = set()
    with connect() as sock:
        for _ in range(2):
            sock.sendall(request("segment", RANGE))
            said = hear(sock)
            equal(said.status, "302")
            got.add(said.fields["location"])
    equal(got, wanted)
    if fault == Fault.REDIRECT_51:
        with connect() as sock:
            for hop in range(52):
                path = TARGET + (f"?hop={hop}" if hop else "")
                sock.sendall(request("segment", RANGE).replace(TARGET.encode(), path.encode()))
                said = hear(sock)
                equal(said.status, "302" if hop < 51 else "206")


# ---- D ----


def refusal(**how):
    try:
        connect(**how).close()
    except ssl.SSLCertVerificationError as error:
        return error.verify_code
    return 0


@check("CERT_EXPIRED", "CERT_WRONG_HOST", "CERT_SELF_SIGNED", "CERT_UNKNOWN_CA", "CERT_CHANGED")
def _(fault):
    with connect() as sock:
        serial = sock.tls.getpeercert()["serialNumber"]
    site.arm(fault, "metadata")
    # As X509_verify_cert_error_string(3) has them.
    wanted = {Fault.CERT_EXPIRED: 10, Fault.CERT_WRONG_HOST: 62, Fault.CERT_SELF_SIGNED: 18, Fault.CERT_UNKNOWN_CA: 20}
    equal(refusal(), wanted.get(fault, 0))
    equal(refusal(host="query"), 0)
    if fault == Fault.CERT_CHANGED:
        with connect() as sock:
            assert sock.tls.getpeercert()["serialNumber"] != serial


@check("CLOCK_1970")
def _(fault):
    site.page[Page.REALTIME_SHIFT] = -time.time_ns() + 60 * SEC
    year = site.preloaded("import time; print(time.gmtime().tm_year)")
    site.page[Page.REALTIME_SHIFT] = 0
    equal(year, "1970")


@check("CLIENT_CERT_REVOKED")
def _(fault):
    equal(say(sock=connect(how=context(client=True))).status, "206")
    site.arm(fault, "metadata")
    try:
        said = say(sock=connect(how=context(client=True)))
        raise AssertionError(f"it is let in: {said.data!r}")
    except ssl.SSLError as error:
        assert "REVOKED" in str(error), error


@check("TLS_1_0")
def _(fault):
    site.arm(fault, "metadata")
    try:
        connect()
        raise AssertionError("a newer TLS works")
    except ssl.SSLError:
        pass
    with connect(how=context(old=True)) as sock:
        equal(sock.tls.version(), "TLSv1")


@check("NO_CLOSE_NOTIFY")
def _(fault):
    site.arm(fault, "segment")
    said = say()
    equal((said.body, said.end), (PART[:2048], "cut"))
    assert "content-length" not in said.fields


# ---- E ----


@check("NXDOMAIN", "SERVFAIL", "CAPTIVE_PORTAL")
def _(fault):
    code = """import socket, time
began = time.monotonic()
try: print(socket.getaddrinfo("files.test", 1, type=1)[0][4][0], end=" ")
except socket.gaierror as error: print(error.errno, end=" ")
print(10 * round((time.monotonic() - began) / 10), socket.getaddrinfo("query.test", 1, type=1)[0][4][0])"""
    site.arm(fault, "metadata")
    wanted = {
        Fault.NXDOMAIN: f"{socket.EAI_NONAME} 0",
        Fault.SERVFAIL: f"{socket.EAI_AGAIN} 10",
        Fault.CAPTIVE_PORTAL: "127.0.0.2 0",
    }
    equal(site.preloaded(code), wanted[fault] + " 127.0.0.1")
    if fault == Fault.CAPTIVE_PORTAL:
        equal(refusal(address="127.0.0.2"), 20)
        trusting = ssl._create_unverified_context()
        said = say(sock=connect(address="127.0.0.2", how=trusting))
        assert said.status == "200" and b"<html>" in said.body


@check("PROXY_407", "PROXY_DIES")
def _(fault):
    def ask():
        sock = socket.create_connection(("127.0.0.1", site.ports["proxy"]))
        sock.sendall(f"CONNECT files.test:{site.ports['files']} HTTP/1.1\r\n\r\n".encode())
        return sock, hear(sock, until=has_head)

    sock, said = ask()
    equal(said.status, "200")
    equal(say(sock=connect(sock=sock)).body, PART)
    site.arm(fault, "metadata")
    sock, said = ask()
    if fault == Fault.PROXY_407:
        assert said.status == "407" and "proxy-authenticate" in said.fields
    else:
        equal((said.data, said.end), (b"HTTP/1.1 200 Conn", "rst"))
    sock.close()


# ---- F ----


@check("STATUS_429", "STATUS_503")
def _(fault):
    site.arm(fault, "segment")
    said = say()
    equal(said.status, "429" if fault == Fault.STATUS_429 else "503")
    after = said.fields["retry-after"]
    if fault == Fault.STATUS_503:
        seconds = [email.utils.parsedate_to_datetime(text).timestamp() for text in (said.fields["date"], after)]
        equal(seconds[1] - seconds[0], 120)
    else:
        equal(after, "120")


@check("RETRY_AFTER_ODD")
def _(fault):
    site.arm(fault, "segment")
    equal({say().fields["retry-after"] for _ in range(5)},
          {"315360000", "-5", "soon", "1e3", "Mon, 31 Feb 2099 25:61:61 GMT"})  # fmt: skip


@check("STATUS_500", "FILE_404")
def _(fault):
    site.arm(fault, "segment")
    equal(say().status, "500" if fault == Fault.STATUS_500 else "404")


@check("ACK_LOST")
def _(fault):
    site.arm(fault, "result", times=1)
    equal(say("result").end, "rst")
    equal(site.order("log")["results"][TXID]["times"], 1)
    equal(say("result").status, "200")


# ---- all together ----


def honest():
    equal(json.loads(say("query").body)["new"][0]["version"], NEW)
    equal(say("metadata").body, b'{"now":1}')
    equal(say("list").body, LIST)
    equal(say().body, PART)
    said = say("segment", "Range: bytes=0-99", "If-Range: \"other\"")
    equal((said.status, said.body), ("200", FILE))
    equal([say("result").status for _ in range(2)], ["201", "200"])
    equal(site.order("log")["results"][TXID]["times"], 2)


def limits():
    """A switch hits its phase, from the n-th request, so many times, and no more when it is cleared."""
    site.arm(Fault.FILE_404, "segment", first=2, times=2)
    equal([say().status for _ in range(5)], ["206", "404", "404", "206", "206"])
    site.arm(Fault.STATUS_500, "list")
    equal([say("list").status for _ in range(3)], ["500"] * 3)
    equal([say("metadata").status, say().status], ["200", "206"])
    equal([q["fault"] for q in site.order("log")["requests"]].count("file-404"), 2)
    site.order("clear")
    equal(say("list").status, "200")
    site.arm(Fault.REFUSE, "segment", first=2)
    with connect() as sock:
        for wanted in ("206", ""):
            sock.sendall(request("segment", RANGE))
            said = hear(sock)
            equal(said.status, wanted)
    equal(said.end, "rst")
    try:
        connect()
        raise AssertionError("somebody listens")
    except OSError as error:
        equal(error.errno, errno.ECONNREFUSED)


def virtual_time():
    """A silence of ten minutes and a sleep of an hour take a moment, and both sides see the time pass; while the
    server has something to send, no time is skipped."""
    code = f"""import select, socket, ssl, sys, time
sys.path.insert(0, {HERE!r})
s = ssl._create_unverified_context().wrap_socket(socket.create_connection(("127.0.0.1", {site.ports["files"]})))
s.sendall({request("segment", RANGE)!r})
poll = select.poll()
poll.register(s, select.POLLIN)
began, n, data = time.monotonic(), 0, b""
while poll.poll(600000):
    data += s.recv(65536)
print(round(time.monotonic() - began), len(data.partition(b"\\r\\n\\r\\n")[2]))
time.sleep(3600)
print(round(time.monotonic() - began))"""
    site.arm(Fault.BLACKHOLE_AFTER_HEADERS, "segment")
    began = time.monotonic()
    equal(site.preloaded(code).split(), ["600", "0", "4200"])
    site.order("clear")
    site.arm(Fault.JUST_ABOVE_LIMIT, "segment")
    # 27 seconds for 4096 bytes at 150 a second, then silence.
    equal(site.preloaded(code).split(), ["627", "4096", "4227"])
    assert time.monotonic() - began < 20


def main():
    global site
    passed = failed = 0
    site = Site()
    try:
        named = [(f"{int(fault):2} {fault.word}", lambda f=fault: checks[f](f)) for fault in Fault]
        for name, call in [("honest", honest), *named, ("limits", limits), ("virtual time", virtual_time)]:
            site.order("reset")
            try:
                call()
                print(f"ok      switch {name}")
                passed += 1
            except (AssertionError, OSError, KeyError, ValueError) as error:
                print(f"NOT OK  switch {name}: {type(error).__name__} {str(error)[:300]}")
                failed += 1
    finally:
        site.close()
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    assert set(checks) == set(Fault) == set(BEHAVIOUR) | OF_CONNECTION
    main()
