#!/usr/bin/env python3
"""A query server in an attacker's hands: answers every query with one given offer, keeps the results.
hostile-query.py CERTIFICATE KEY ADDRESS PORT OFFER-FILE RESULTS-DIRECTORY"""
import http.server
import os
import ssl
import sys

certificate, key, address, port, offer, results = sys.argv[1:]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", "0")))

    def do_POST(self):
        self.body()
        with open(offer, "rb") as file:
            self.answer(200, file.read())

    def do_PUT(self):
        os.makedirs(results, exist_ok=True)
        with open(os.path.join(results, os.path.basename(self.path)), "wb") as file:
            file.write(self.body())
        self.answer(201, b"{}")


server = http.server.ThreadingHTTPServer((address, int(port)), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
