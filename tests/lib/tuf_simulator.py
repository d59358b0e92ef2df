# SPDX-License-Identifier: Apache-2.0
"""A TUF repository that tests change as they like, the server it is on, and the client under test.

Nothing here shares code with the client: canonical JSON is securesystemslib's, signatures are
python3-cryptography's, HTTP is Python's.

    repo = Repository()                # version 1 of the four top-level roles
    repo.targets["expires"] = when(7)  # the "signed" part of a role, as a dict
    repo.publish("targets", "snapshot", "timestamp")
    client = Client(program, Server(), repo, directory)
    client.init(); client.refresh(); client.download("a/b")
"""
import functools
import hashlib
import http.server
import json
import os
import pathlib
import socket
import subprocess
import threading
import time
import urllib.parse

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from securesystemslib.formats import encode_canonical

SPEC_VERSION = "1.0.31"
TOP_LEVEL = ("root", "timestamp", "snapshot", "targets")


def when(days):
    """A time in metadata, so many days from now."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + days * 86400))


def quote(text):
    """RFC 3986: all but the unreserved characters are encoded, '/' too."""
    return urllib.parse.quote(text, safe="")


def digest(data, algorithm="sha256"):
    return hashlib.new(algorithm, data).hexdigest()


# ---- keys ----------------------------------------------------------------------------------------


@functools.lru_cache(1)
def _rsa_private_key():
    """One for all, since it takes long."""
    return rsa.generate_private_key(65537, 2048)


class Key:
    """A private key and what metadata says of the public one."""

    def __init__(self, private, keytype, scheme, **unknown):
        self._private = private
        self.object = {"keytype": keytype, "scheme": scheme, "keyval": {"public": self._public()}, **unknown}

    @classmethod
    def new(cls, keytype="ed25519", scheme="ed25519", **unknown):
        if scheme == "ed25519":
            private = ed25519.Ed25519PrivateKey.generate()
        elif scheme == "ecdsa-sha2-nistp256":
            private = ec.generate_private_key(ec.SECP256R1())
        elif scheme == "ecdsa-sha2-nistp384":
            private = ec.generate_private_key(ec.SECP384R1())
        else:
            private = _rsa_private_key()
        return cls(private, keytype, scheme, **unknown)

    def twin(self, **unknown):
        """The same key under another key id."""
        return Key(self._private, self.object["keytype"], self.object["scheme"], **unknown)

    def _public(self):
        public = self._private.public_key()
        if isinstance(public, ed25519.Ed25519PublicKey):
            return public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw).hex()
        return public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ).decode()

    @property
    def id(self):
        return digest(encode_canonical(self.object).encode())

    def sign(self, data):
        scheme = self.object["scheme"]
        if scheme == "ed25519":
            return self._private.sign(data).hex()
        if scheme == "ecdsa-sha2-nistp256":
            return self._private.sign(data, ec.ECDSA(hashes.SHA256())).hex()
        if scheme == "ecdsa-sha2-nistp384":
            return self._private.sign(data, ec.ECDSA(hashes.SHA384())).hex()
        if scheme == "rsassa-pss-sha256":
            pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
            return self._private.sign(data, pss, hashes.SHA256()).hex()
        return self._private.sign(data, padding.PKCS1v15(), hashes.SHA256()).hex()


# ---- the repository ------------------------------------------------------------------------------


class Repository:
    """What a repository knows (signed, keys) and what it serves (files).

    files: by path, "metadata/2.root.json" or "targets/…", as they stand in a request (encoded).
    Bytes, or a function that gets the request handler and answers by itself.
    """

    def __init__(self, consistent=True):
        self.signed = {}
        self.keys = {}  # who signs for a role, which is not always who should
        self.files = {}
        self.requests = []
        self.with_hashes = False  # in snapshot and timestamp
        self.with_length = False
        for role in TOP_LEVEL:
            self.signed[role] = self._new(role)
            self.add_key(role, Key.new())
        self.root["consistent_snapshot"] = consistent
        self.publish("root", "targets", "snapshot", "timestamp")

    @staticmethod
    def _new(role):
        kind = role if role in TOP_LEVEL else "targets"
        signed = {"_type": kind, "spec_version": SPEC_VERSION, "version": 0, "expires": when(30)}
        if kind == "root":
            signed |= {"keys": {}, "roles": {r: {"keyids": [], "threshold": 1} for r in TOP_LEVEL}}
        elif kind == "targets":
            signed |= {"targets": {}}
        else:
            signed |= {"meta": {}}
        return signed

    root = property(lambda self: self.signed["root"])
    timestamp = property(lambda self: self.signed["timestamp"])
    snapshot = property(lambda self: self.signed["snapshot"])
    targets = property(lambda self: self.signed["targets"])

    # -- keys

    def add_key(self, role, key, delegator=None):
        """The key may sign for the role, and does."""
        self.allow(role, key, delegator)
        self.keys.setdefault(role, []).append(key)

    def allow(self, role, key, delegator=None):
        place, entry = self._delegation(role, delegator)
        place["keys"][key.id] = key.object
        entry["keyids"].append(key.id)

    def _delegation(self, role, delegator):
        if delegator is None:
            return self.root, self.root["roles"][role]
        place = self.signed[delegator]["delegations"]
        return place, next(r for r in place["roles"] if r["name"] == role)

    def set_keys(self, role, keys, threshold=1, signers=None):
        """Exactly these keys may sign for a top-level role; signers do, or all of them."""
        self.root["roles"][role] = {"keyids": [], "threshold": threshold}
        for key in keys:
            self.allow(role, key)
        self.keys[role] = list(keys if signers is None else signers)

    def rotate(self, role):
        self.set_keys(role, [Key.new()])

    # -- roles and artifacts

    def delegate(self, delegator, role, paths=("*",), terminating=False, threshold=1, prefixes=None, key=None):
        """Adds a delegation, of paths or of hash prefixes, and the role unless it is there. Publishes nothing."""
        place = self.signed[delegator].setdefault("delegations", {"keys": {}, "roles": []})
        entry = {"name": role, "keyids": [], "threshold": threshold, "terminating": terminating}
        if prefixes is not None:
            entry["path_hash_prefixes"] = list(prefixes)
        elif paths is not None:
            entry["paths"] = list(paths)
        place["roles"].append(entry)
        if role not in self.signed:
            self.signed[role] = self._new(role)
        key = key or Key.new()
        place["keys"][key.id] = key.object
        entry["keyids"].append(key.id)
        self.keys.setdefault(role, []).append(key)
        return entry

    def add_artifact(self, path, data, role="targets", algorithms=("sha256",), serve=True):
        self.signed[role]["targets"][path] = {
            "length": len(data),
            "hashes": {a: digest(data, a) for a in algorithms},
        }
        if serve:
            self.files[self.target_request(path, role)] = data

    def target_request(self, path, role="targets"):
        """What a client must ask for, by the specification."""
        directory, slash, base = path.rpartition("/")
        if self.root["consistent_snapshot"]:
            prefix = next(iter(self.signed[role]["targets"][path]["hashes"].values()))
            base = f"{prefix}.{base}"
        return "targets/" + "/".join(quote(part) for part in (directory + slash + base).split("/"))

    # -- making it public

    def envelope(self, role):
        signed = self.signed[role]
        data = encode_canonical(signed).encode()
        signatures = [{"keyid": k.id, "sig": k.sign(data)} for k in self.keys[role]]
        return {"signatures": signatures, "signed": signed}

    def publish(self, *roles, version=None):
        """The next version of each role, signed and served, in this order."""
        for role in roles:
            self.signed[role]["version"] = version or self.signed[role]["version"] + 1
            self.serve(role, json.dumps(self.envelope(role), indent=1).encode())

    def publish_all(self):
        delegated = [role for role in self.signed if role not in TOP_LEVEL]
        self.publish("root", *delegated, "targets", "snapshot", "timestamp")

    def serve(self, role, data, version=None):
        """These bytes are the role's file, and the file that describes it describes them."""
        version = version or self.signed[role]["version"]
        self.files[self.metadata_request(role, version)] = data
        describer = {"root": None, "timestamp": None, "snapshot": "timestamp"}.get(role, "snapshot")
        if describer:
            self.signed[describer]["meta"][role + ".json"] = self.describe(data, version)

    def describe(self, data, version):
        meta = {"version": version}
        if self.with_hashes:
            meta["hashes"] = {"sha256": digest(data)}
        if self.with_length:
            meta["length"] = len(data)
        return meta

    def metadata_request(self, role, version):
        if role == "timestamp" or (role != "root" and not self.root["consistent_snapshot"]):
            return f"metadata/{quote(role)}.json"
        return f"metadata/{version}.{quote(role)}.json"

    def current(self, role):
        return self.files[self.metadata_request(role, self.signed[role]["version"])]

    def alter(self, role, change):
        """Changes the envelope that is served (not what it describes) and serves it again."""
        envelope = json.loads(self.current(role))
        change(envelope)
        self.files[self.metadata_request(role, self.signed[role]["version"])] = json.dumps(envelope).encode()

    # -- what was asked for

    def asked(self):
        """The requests since the last call; "2.root", "timestamp", "targets/a"."""
        requests, self.requests = self.requests, []
        return [r[len("metadata/") : -len(".json")] if r.startswith("metadata/") else r for r in requests]


# ---- the server ----------------------------------------------------------------------------------


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name, _, path = self.path.lstrip("/").partition("/")
        repository = self.server.repositories[name]
        repository.requests.append(path)
        answer = repository.files.get(path)
        try:
            if answer is None:
                self.send_error(404, "no such file")
            elif callable(answer):
                answer(self)
            else:
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)
        except OSError:
            pass  # the client has had enough

    def log_message(self, *_):
        pass


def answer_status(status, **headers):
    def answer(handler):
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()

    return answer


class Endless:
    """Sends spaces for ever, after some bytes; counts how many could be sent."""

    def __init__(self, first=b"", pause_sec=0.0, chunk=b" " * 65536, content_length=None):
        self.first, self.pause_sec, self.chunk = first, pause_sec, chunk
        self.content_length = content_length
        self.sent = 0

    def __call__(self, handler):
        # What the kernel would buffer says nothing of what the client reads.
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        handler.send_response(200)
        if self.content_length is not None:
            handler.send_header("Content-Length", str(self.content_length))
        handler.end_headers()
        handler.wfile.write(self.first)
        while self.sent < 64 << 20:
            handler.wfile.write(self.chunk)
            self.sent += len(self.chunk)
            time.sleep(self.pause_sec)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories = {}
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def url(self, repository):
        name = str(id(repository))
        self.repositories[name] = repository
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


# ---- the client ----------------------------------------------------------------------------------


class Client:
    """Runs the program under test. Methods give its exit status; error is what it said."""

    def __init__(self, program, server, repository, directory):
        self.program, self.repository = program, repository
        self.directory = pathlib.Path(directory)
        self.metadata_dir = self.directory / "metadata"
        self.target_dir = self.directory / "targets"
        self.metadata_dir.mkdir()
        self.target_dir.mkdir()
        self.url = server.url(repository)
        self.metadata_url, self.target_url = self.url + "/metadata/", self.url + "/targets/"
        self.error = ""
        self.timeout = []

    def run(self, *arguments, fake_time=None):
        command = [self.program, *self.timeout, *map(str, arguments)]
        environment = dict(os.environ)
        if fake_time:
            command = ["faketime", fake_time, *command]
            # A sanitizer would like to be the first library, which the fake time is.
            environment["ASAN_OPTIONS"] = environment.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        done = subprocess.run(
            command, env=environment, timeout=120, capture_output=True, text=True, errors="replace", check=False
        )
        self.error = done.stderr
        self.output = done.stdout
        return done.returncode

    def init(self, root=None):
        first = self.directory / "initial_root.json"
        first.write_bytes(self.repository.files["metadata/1.root.json"] if root is None else root)
        return self.run("--metadata-dir", self.metadata_dir, "init", first)

    def refresh(self, **options):
        return self.run("--metadata-url", self.metadata_url, "--metadata-dir", self.metadata_dir, "refresh", **options)

    def download(self, *names, **options):
        arguments = [a for name in names for a in ("--target-name", name)]
        return self.run(
            "--metadata-url", self.metadata_url, "--metadata-dir", self.metadata_dir, *arguments,
            "--target-dir", self.target_dir, "--target-base-url", self.target_url, "download", **options
        )  # fmt: skip

    def trusted(self):
        """Name and version of all that is trusted; every file that is there must be of that kind."""
        versions = {}
        for file in self.metadata_dir.iterdir():
            assert file.name.endswith(".json") and "#" not in file.name, f"left over: {file.name}"
            versions[file.name[: -len(".json")]] = json.loads(file.read_bytes())["signed"]["version"]
        return versions

    def copy_of(self, role):
        file = self.metadata_dir / (quote(role) + ".json")
        return file.read_bytes() if file.exists() else None

    def artifacts(self):
        return {str(f.relative_to(self.target_dir)): f.read_bytes() for f in self.target_dir.rglob("*") if f.is_file()}

    def everything(self):
        """All that is below the client's directory, but what the test itself put there."""
        names = (str(f.relative_to(self.directory)) for f in self.directory.rglob("*") if not f.is_dir())
        return sorted(n for n in names if n != "initial_root.json")

