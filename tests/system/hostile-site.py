#!/usr/bin/env python3
"""A file server, and a query server, in an attacker's hands.
hostile-site.py CERTIFICATE KEY ADDRESS PORT STATES PROGRAM-FILES QUERYD-SOCKET

STATES is what hostile-repo writes. `now` in it is a link to one of them.
  /now/..., /v/ID/...   metadata/ of the state and the program files (targets/), with its faults
  /q/ID/v1/query        the offer of the state, its files at /v/ID
  /q/ID/v1/results/...  handed on to queryd
"""
import fnmatch
import gzip
import http.client
import http.server
import json
import os
import re
import socket
import ssl
import sys
import time

certificate, key, address, port, states, programs, queryd = sys.argv[1:]
FILLER = b"x" * 16384
PATIENCE_SEC = 300  # of ours: longer than any gateway's


class Queryd(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(queryd)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    # ---- queries ----

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", "0")))

    def do_POST(self):
        self.body()
        state = self.path.split("/")[2]
        with open(os.path.join(states, state, "offer"), encoding="ascii") as file:
            offer = json.load(file)
        offer["file_server"] = f"https://files.bms.test:{port}/v/{state}"
        self.answer(200, json.dumps(offer).encode())

    def do_PUT(self):
        connection = Queryd("localhost")
        connection.request("PUT", "/" + self.path.split("/", 3)[3], self.body())
        answer = connection.getresponse()
        self.answer(answer.status, answer.read())

    # ---- files ----

    def do_GET(self):
        parts = self.path.split("/")
        state, name = (parts[1], parts[2:]) if parts[1] == "now" else (parts[2], parts[3:])
        name = "/".join(name)
        place = os.path.join(states, state)
        directory = place if name.startswith("metadata/") else os.path.dirname(programs)
        try:
            with open(os.path.join(directory, name), "rb") as file:
                content = file.read()
        except OSError:
            content = None
        with open(os.path.join(place, "faults"), encoding="ascii") as file:
            pattern, _, fault = file.read().partition(" ")
        if fault and fnmatch.fnmatch(name, pattern):
            getattr(self, "fault_" + fault.replace("-", "_"))(content or b"")
        elif content is None:
            self.answer(404)
        else:
            self.give(content)

    def range_of(self, content):
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        return match and (int(match[1]), min(int(match[2]), len(content) - 1))

    def give(self, content):
        wanted = self.range_of(content)
        if not wanted:
            self.answer(200, content)
            return
        first, last = wanted
        self.answer(206, content[first : last + 1], Content_Range=f"bytes {first}-{last}/{len(content)}")

    # ---- faults ----

    def head(self, content, *headers):
        """A status line and headers, no length, not ended yet."""
        wanted = self.range_of(content)
        lines = ["HTTP/1.1 206 Partial Content" if wanted else "HTTP/1.1 200 OK", "Connection: close"]
        if wanted:
            lines.append(f"Content-Range: bytes {wanted[0]}-{wanted[1]}/{len(content)}")
        self.close_connection = True
        return "".join(line + "\r\n" for line in [*lines, *headers]).encode()

    def for_ever(self, *pieces, pause=0.0):
        end = time.monotonic() + PATIENCE_SEC
        try:
            while time.monotonic() < end:
                for piece in pieces:
                    self.wfile.write(piece)
                    time.sleep(pause)
        except OSError:
            pass
        self.close_connection = True

    def slowly(self, content):
        try:
            for byte in content:
                self.wfile.write(bytes([byte]))
                time.sleep(1)
        except OSError:
            pass

    def fault_endless(self, content):
        self.wfile.write(self.head(content) + b"\r\n")
        self.for_ever(FILLER)

    def fault_chunked(self, content):
        self.wfile.write(self.head(content, "Transfer-Encoding: chunked") + b"\r\n")
        self.for_ever(b"4000\r\n" + FILLER + b"\r\n")

    def fault_huge(self, content):
        self.wfile.write(self.head(content, "Content-Length: 1000000000000") + b"\r\n")
        self.for_ever(FILLER)

    def fault_headers(self, content):
        self.wfile.write(self.head(content))
        self.for_ever(b"X-Filler: filler\r\n" * 500)

    def fault_header(self, content):
        self.wfile.write(self.head(content) + b"X-Filler: ")
        self.for_ever(FILLER)

    def fault_interim(self, _):
        self.for_ever(b"HTTP/1.1 100 Continue\r\n\r\n" * 500)

    def fault_slow(self, content):
        self.wfile.write(self.head(content, f"Content-Length: {len(content)}") + b"\r\n")
        self.slowly(content)

    def fault_slow_head(self, content):
        self.slowly(self.head(content))

    def fault_silent(self, _):
        self.for_ever(b"", pause=1)

    def fault_half(self, content):
        self.wfile.write(self.head(content, f"Content-Length: {len(content)}") + b"\r\n")
        self.wfile.write(content[: len(content) // 2])
        self.for_ever(b"", pause=1)

    def fault_missing(self, _):
        self.answer(404)

    def fault_tomorrow(self, _):
        self.answer(503, Retry_After="86400")

    def fault_redirect_http(self, content):
        self.answer(302, Location=f"http://files.bms.test:{port}/v/honest/metadata/timestamp.json")

    def fault_redirect_host(self, content):
        self.answer(302, Location="https://elsewhere.test/timestamp.json")

    def fault_gzip(self, content):
        self.answer(200, gzip.compress(content), Content_Encoding="gzip")

    def fault_corrupt(self, content):
        wrong = bytearray(content)
        wrong[len(wrong) // 2] ^= 1
        self.give(bytes(wrong))

    def fault_whole(self, content):
        self.answer(200, content)

    def fault_other_range(self, content):
        first, last = self.range_of(content)
        self.answer(206, content[first + 1 : last + 1], Content_Range=f"bytes {first + 1}-{last}/{len(content)}")

    def fault_other_total(self, content):
        first, last = self.range_of(content)
        self.answer(206, content[first : last + 1], Content_Range=f"bytes {first}-{last}/{len(content) + 1}")


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 64

    def handle_error(self, *_):
        """Gateways hang up; that is what they should do."""


server = Server((address, int(port)), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
