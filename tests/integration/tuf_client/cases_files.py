# SPDX-License-Identifier: Apache-2.0
"""What may be in a file, and what a server may send instead."""
import json

from bed import case, each
from tuf_simulator import TOP_LEVEL, Endless, Key, answer_status, digest, when


# ---- what may be in a file -----------------------------------------------------------------------


@each("unsigned", TOP_LEVEL)
def _(bed, role):
    repo, client = bed.start()
    repo.keys[role] = []
    repo.publish_all()
    bed.refused(client.refresh(), "signed by 0 of 1")
    trusted = {"root": {"root": 1}, "timestamp": {"root": 2}, "snapshot": {"root": 2, "timestamp": 2},
               "targets": {"root": 2, "timestamp": 2, "snapshot": 2}}  # fmt: skip
    bed.trusts(**trusted[role])


@each("signed, then changed", TOP_LEVEL)
def _(bed, role):
    repo, client = bed.start()
    repo.publish_all()
    repo.alter(role, lambda e: e["signed"].update(expires=when(31)))
    bed.refused(client.refresh(), "signed by 0 of 1")
    bed.true(client.trusted().get(role) == (1 if role == "root" else None), "it is trusted")


@each("another version than its name says", ("root", "snapshot", "targets"))
def _(bed, role):
    repo, client = bed.start()
    repo.publish_all()
    version = repo.signed[role]["version"]
    repo.publish(role)
    data = repo.current(role)
    repo.serve(role, data, version)
    del repo.files[repo.metadata_request(role, version + 1)]
    repo.publish(*{"root": [], "snapshot": ["timestamp"], "targets": ["snapshot", "timestamp"]}[role])
    bed.refused(client.refresh(), "has version")
    bed.true(client.trusted().get(role) == (1 if role == "root" else None), "it is trusted")


@each("not there", ("timestamp", "snapshot", "targets"))
def _(bed, role):
    repo, client = bed.start()
    bed.accepted(client.refresh())
    repo.asked()
    repo.publish_all()
    request = repo.metadata_request(role, 2)
    del repo.files[request]
    bed.refused(client.refresh(), "not in the repository")
    bed.equal(repo.asked()[-1], request[len("metadata/") : -len(".json")], "last request")
    after = {"timestamp": (2, 1, 1, 1), "snapshot": (2, 2, 1, 1), "targets": (2, 2, 2, 1)}
    bed.trusts(*after[role])


@case("a snapshot in the timestamp's place, signed by the timestamp's key")
def _(bed):
    repo, client = bed.start()
    repo.add_key("snapshot", repo.keys["timestamp"][0])
    repo.snapshot["meta"]["snapshot.json"] = {"version": 1}
    repo.publish("root", "snapshot")
    repo.files["metadata/timestamp.json"] = repo.current("snapshot")
    bed.refused(client.refresh(), "_type")
    bed.trusts(2)


@case("a targets file in a delegated role's place, and the other way round")
def _(bed):
    repo, client = bed.start()
    key = repo.keys["targets"][0]
    repo.delegate("targets", "A", key=key)
    repo.publish("A", "targets", "snapshot", "timestamp")
    repo.files["metadata/1.A.json"] = repo.current("targets")  # version 2
    bed.refused(client.download("x"), "has version 2")
    bed.trusts(1, 2, 2, 2)


@case("a timestamp of the same version with other content is not taken")
def _(bed):
    repo, client = bed.start()
    bed.accepted(client.refresh())
    first = client.copy_of("timestamp")
    repo.timestamp["meta"]["snapshot.json"]["version"] = 100
    repo.publish("timestamp", version=1)
    repo.asked()
    bed.accepted(client.refresh())
    bed.asked("2.root", "timestamp")
    bed.equal(client.copy_of("timestamp"), first, "timestamp")


@each("hashes and lengths", {"hashes": (True, False), "lengths": (False, True), "both": (True, True)})
def _(bed, which):
    repo, client = bed.start()
    repo.with_hashes, repo.with_length = which
    repo.publish("targets", "snapshot", "timestamp")
    bed.accepted(client.refresh())
    bed.trusts_all()
    repo.publish("targets", "snapshot", "timestamp")
    bed.accepted(client.refresh())
    bed.trusts(1, 3, 3, 3)


WRONG_META = {
    "a wrong SHA-256": {"hashes": {"sha256": "00" * 32}},
    "a wrong SHA-512": {"hashes": {"sha512": "00" * 64}},
    "a right SHA-256 and a wrong SHA-512": {"hashes": {"sha512": "00" * 64}, "right": True},
    "a length that is too short": {"length": -1},
    "a length that is too long": {"length": 1},
    "a length of nothing": {"length": None},
}


@each("described wrongly", {f"{r} with {w}": (r, w) for r in ("snapshot", "targets") for w in WRONG_META})
def _(bed, what):
    role, wrong = what
    repo, client = bed.start()
    bed.accepted(client.refresh())
    repo.publish("targets", "snapshot")
    describer = repo.timestamp if role == "snapshot" else repo.snapshot
    meta, size = describer["meta"][role + ".json"], len(repo.current(role))
    if "hashes" in WRONG_META[wrong]:
        meta["hashes"] = dict(WRONG_META[wrong]["hashes"])
        if "right" in WRONG_META[wrong]:
            meta["hashes"]["sha256"] = digest(repo.current(role))
    else:
        change = WRONG_META[wrong]["length"]
        meta["length"] = 0 if change is None else size + change
    if role == "targets":
        repo.publish("snapshot")
    repo.publish("timestamp")
    bed.refused(client.refresh(), role + ".json")
    bed.equal(client.trusted()[role], 1, "trusted version")


@case("a right SHA-512 is as good")
def _(bed):
    repo, client = bed.start()
    repo.publish("targets")
    repo.snapshot["meta"]["targets.json"]["hashes"] = {"sha512": digest(repo.current("targets"), "sha512")}
    repo.publish("snapshot", "timestamp")
    bed.accepted(client.refresh())
    bed.trusts_all()


@case("fields that nobody knows are everywhere, and signed for")
def _(bed):
    repo, client = bed.start()
    bed.accepted(client.refresh())
    odd = {"z": [1, None, True, {"ü": "\u20ac \"\\\n"}], "a": -9007199254740991, "": ""}
    repo.add_key("root", Key.new(**{"x-owner": odd}))
    repo.delegate("targets", "A", key=Key.new(**{"x-owner": "@someone"}))["x-why"] = odd
    repo.add_artifact("a", b"A", "A")
    repo.signed["A"]["targets"]["a"]["x-size"] = odd
    repo.targets["delegations"]["x-note"] = odd
    for role in repo.signed:
        repo.signed[role]["x-note"] = odd
    repo.root["roles"]["root"]["x-note"] = odd
    repo.publish("A", "targets")
    repo.snapshot["meta"]["A.json"]["x-note"] = odd
    repo.publish("root", "snapshot")
    repo.timestamp["meta"]["snapshot.json"]["x-note"] = odd
    repo.publish("timestamp")
    repo.alter("timestamp", lambda e: (e.update({"x-note": odd}), e["signatures"][0].update({"x-note": odd})))
    bed.accepted(client.download("a"))
    bed.trusts_all()
    repo.alter("timestamp", lambda e: e["signed"].update({"x-note": {}}))
    repo.timestamp["version"] += 1
    bed.refused(client.refresh(), "signed by 0 of 1")


@case("canonical JSON: all of Unicode, in keys and values, escaped or not")
def _(bed):
    repo, client = bed.start()
    texts = ["".join(map(chr, range(1, 0x800))), "\u2028\ufeff\uffff", "\U0001f600\U0010ffff", "\\u0041"]
    texts += ['"\\/\b\f\n\r\t\x7f']
    for text in texts:
        repo.targets[text] = {text: [text, {}, [], "", 0, -1, 2**53 - 1]}
    # Sorted by code point, not by UTF-16 unit.
    repo.targets.update({"\uffff": 1, "\U00010000": 2, "a": 3, "A": 4, "aa": 5, "\u00e4": 6})
    repo.publish("targets", "snapshot", "timestamp")
    bed.accepted(client.refresh())
    data = json.dumps(repo.envelope("targets"), ensure_ascii=False).encode()
    repo.serve("targets", data, 2)
    repo.publish("snapshot", "timestamp")
    (client.metadata_dir / "targets.json").unlink()
    bed.accepted(client.refresh())
    bed.equal(client.copy_of("targets"), data, "targets")


@each("keyid_hash_algorithms", {"a list": ["sha256", "sha512"], "another type": "md5"})
def _(bed, value):
    repo, client = bed.start()
    repo.set_keys("snapshot", [Key.new(keyid_hash_algorithms=value)])
    repo.publish_all()
    bed.accepted(client.refresh())
    bed.trusts_all()


MALFORMED = {
    "empty": lambda good: b"",
    "blank": lambda good: b" \n",
    "a list": lambda good: b"[]",
    "a number": lambda good: b"1",
    "cut in half": lambda good: good[: len(good) // 2],
    "cut by one byte": lambda good: good[:-1],
    "twice": lambda good: good + good,
    "with a tail": lambda good: good + b"x",
    "with a NUL at its end": lambda good: good + b"\0",
    "with a byte order mark": lambda good: b"\xef\xbb\xbf" + good,
    "in UTF-16": lambda good: good.decode().encode("utf-16"),
    "with bad UTF-8": lambda good: good.replace(b'"_type"', b'"\xff": 1, "_type"'),
    "with a lone surrogate": lambda good: good.replace(b'"_type"', b'"\\ud800": 1, "_type"'),
    "with a fraction": lambda good: good.replace(b'"_type"', b'"x": 1.5, "_type"'),
    "with an exponent": lambda good: good.replace(b'"_type"', b'"x": 1e3, "_type"'),
    "with NaN": lambda good: good.replace(b'"_type"', b'"x": NaN, "_type"'),
    "with a huge integer": lambda good: good.replace(b'"_type"', b'"x": 9007199254740993, "_type"'),
    "with two versions": lambda good: good.replace(b'"version"', b'"version": 9, "version"', 1),
    "with two signed parts": lambda good: good.replace(b'"signed"', b'"signed": {}, "signed"'),
    "with a comment": lambda good: good.replace(b'"_type"', b'/* x */ "_type"'),
    "nested 100000 times": lambda good: b"[" * 100000 + b"]" * 100000,
    "HTML": lambda good: b"<html><body>Please log in</body></html>",
    "without signatures": lambda good: json.dumps({"signed": json.loads(good)["signed"]}).encode(),
    "without a signed part": lambda good: b'{"signatures": []}',
    "gzip": lambda good: b"\x1f\x8b\x08\0" + good,
}


@each("malformed", MALFORMED)
def _(bed, spoil):
    repo, client = bed.start()
    bed.accepted(client.refresh())
    copies = {role: client.copy_of(role) for role in TOP_LEVEL}
    good = json.dumps(repo.envelope("root")).encode()
    repo.files["metadata/2.root.json"] = spoil(good.replace(b'"version": 1', b'"version": 2'))
    bed.refused(client.refresh(), "2.root.json")
    del repo.files["metadata/2.root.json"]
    repo.publish("targets", "snapshot", "timestamp")
    for role in ("timestamp", "targets"):
        request = repo.metadata_request(role, 2)
        good = repo.files[request]
        repo.files[request] = spoil(json.dumps(json.loads(good)).encode())
        bed.refused(client.refresh(), role + ".json")
        bed.equal(client.copy_of(role), copies[role], f"the copy of {role}")
        repo.files[request] = good
    bed.accepted(client.refresh())
    bed.trusts_all()


BAD_FIELDS = {
    "version 0": lambda s: s.update(version=0),
    "a version in a string": lambda s: s.update(version="2"),
    "a negative version": lambda s: s.update(version=-1),
    "no expiry": lambda s: s.pop("expires"),
    "an expiry without a zone": lambda s: s.update(expires="2099-01-01T00:00:00"),
    "an expiry that is a number": lambda s: s.update(expires=4070908800),
    "30 February": lambda s: s.update(expires="2099-02-30T00:00:00Z"),
    "no spec_version": lambda s: s.pop("spec_version"),
    "spec_version 2": lambda s: s.update(spec_version="2.0.0"),
    "no type": lambda s: s.pop("_type"),
    "no targets": lambda s: s.pop("targets"),
    "targets in a list": lambda s: s.update(targets=[]),
    "a target without a length": lambda s: s.update(targets={"a": {"hashes": {"sha256": "00" * 32}}}),
    "a target of a negative length": lambda s: s.update(targets={"a": {"length": -1, "hashes": {"sha256": "00" * 32}}}),
    "a target without hashes": lambda s: s.update(targets={"a": {"length": 1}}),
    "a target with no hash": lambda s: s.update(targets={"a": {"length": 1, "hashes": {}}}),
    "a hash that is no hex": lambda s: s.update(targets={"a": {"length": 1, "hashes": {"sha256": "zz" * 32}}}),
    "a hash that is too short": lambda s: s.update(targets={"a": {"length": 1, "hashes": {"sha256": "00" * 31}}}),
    "delegations without keys": lambda s: s.update(delegations={"roles": []}),
    "delegations without roles": lambda s: s.update(delegations={"keys": {}}),
    "a role with a threshold of 0": lambda s: s.update(delegations={"keys": {}, "roles": [
        {"name": "A", "keyids": [], "threshold": 0, "terminating": False, "paths": ["*"]}]}),
    "a role with paths and prefixes": lambda s: s.update(delegations={"keys": {}, "roles": [
        {"name": "A", "keyids": [], "threshold": 1, "terminating": False, "paths": ["*"],
         "path_hash_prefixes": ["0"]}]}),
    "succinct_roles": lambda s: s.update(delegations={"keys": {}, "succinct_roles":
        {"keyids": [], "threshold": 1, "bit_length": 8, "name_prefix": "bin"}}),
}  # fmt: skip


@each("properly signed, but with", BAD_FIELDS)
def _(bed, spoil):
    repo, client = bed.start()
    repo.targets["version"] = 1
    spoil(repo.targets)
    data = json.dumps(repo.envelope("targets")).encode()
    repo.files["metadata/1.targets.json"] = data
    bed.refused(client.refresh(), "targets.json: malformed")
    bed.trusts(1, 1, 1)


# ---- servers that do not mean well ---------------------------------------------------------------


LIMITS = {"2.root": 512 << 10, "timestamp": 16 << 10, "1.snapshot": 2 << 20, "1.targets": 5 << 20}


@each("larger than its cap", LIMITS)
def _(bed, limit):
    repo, client = bed.start()
    name = next(n for n, size in LIMITS.items() if size == limit)
    role = name.split(".")[-1]
    if role == "root":
        repo.publish("root")
    good = repo.current(role)
    repo.files[f"metadata/{name}.json"] = good + b" " * (limit - len(good))
    bed.accepted(client.refresh())
    for copy in ("snapshot", "targets", "timestamp"):
        (client.metadata_dir / (copy + ".json")).unlink()
    if role == "root":
        repo.publish("root")
        name = "3.root"
        good = repo.current(role)
    repo.files[f"metadata/{name}.json"] = good + b" " * (limit - len(good) + 1)
    bed.refused(client.refresh(), f"larger than {limit} bytes")


@each("endless", {"root": "2.root", "timestamp": "timestamp", "snapshot": "1.snapshot", "targets": "1.targets"})
def _(bed, name):
    repo, client = bed.start()
    if name == "2.root":
        repo.publish("root")
    path = f"metadata/{name}.json"
    endless = repo.files[path] = Endless(repo.files[path])
    bed.refused(client.refresh(), "larger than")
    bed.true(endless.sent < 32 << 20, f"{endless.sent} bytes were read")


@case("endless, and nothing but its described length is read")
def _(bed):
    repo, client = bed.start()
    repo.with_length = True
    repo.publish("targets", "snapshot", "timestamp")
    endless = repo.files["metadata/2.targets.json"] = Endless(repo.current("targets"))
    size = len(endless.first)
    bed.refused(client.refresh(), f"larger than {size} bytes")
    bed.true(endless.sent < 32 << 20, f"{endless.sent} bytes were read")


@case("slow: a byte now and then ends with the time that a request has")
def _(bed):
    repo, client = bed.start()
    client.timeout = ["--timeout", "3"]
    repo.files["metadata/timestamp.json"] = Endless(pause_sec=0.1, chunk=b" ")
    bed.refused(client.refresh(), "timed out")
    bed.trusts(1)


@case("a length that is a lie")
def _(bed):
    repo, client = bed.start()
    repo.files["metadata/timestamp.json"] = Endless(content_length=1 << 40)
    bed.refused(client.refresh(), "larger than")

    def short(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "5000")
        handler.end_headers()
        handler.wfile.write(repo.current("root"))

    repo.files["metadata/timestamp.json"] = short
    bed.refused(client.refresh(), "timestamp.json")
    bed.trusts(1)


@case("nobody answers")
def _(bed):
    repo, client = bed.start()
    client.metadata_url = "http://127.0.0.1:1/metadata/"
    bed.refused(client.refresh(), "Connection refused")
    bed.trusts(1)


@each("the next root answered with", {"500": 500, "301": 301, "302": 302, "204": 204, "401": 401})
def _(bed, status):
    """Only "it is not there" ends the chain."""
    repo, client = bed.start()
    repo.publish("root")
    repo.files["metadata/2.root.json"] = answer_status(status, Location=client.url + "/metadata/1.root.json")
    bed.refused(client.refresh(), "2.root.json")
    bed.asked("2.root")
    bed.trusts(1)


@case("403 for the next root is how object stores say that it is not there")
def _(bed):
    repo, client = bed.start()
    repo.files["metadata/2.root.json"] = answer_status(403)
    bed.accepted(client.refresh())
    bed.trusts(1, 1, 1, 1)


# ---- without consistent snapshots ----------------------------------------------------------------


@case("without consistent snapshots: names have no versions and no hashes")
def _(bed):
    repo, client = bed.start(consistent=False)
    repo.delegate("targets", "A b", ["d/*"])
    repo.add_artifact("d/x y", b"X", "A b")
    repo.publish("A b", "targets", "snapshot", "timestamp")
    bed.accepted(client.download("d/x y"))
    bed.asked("2.root", "timestamp", "snapshot", "targets", "A%20b", "targets/d/x%20y")
    bed.trusts_all()
    repo.publish("A b", "targets", "snapshot", "timestamp")
    bed.accepted(client.download("d/x y"))
    bed.asked("2.root", "timestamp", "snapshot", "targets", "A%20b")


@case("without consistent snapshots: a file that has changed since is refused")
def _(bed):
    repo, client = bed.start(consistent=False)
    repo.publish("targets")
    bed.refused(client.refresh(), "targets.json: has version 2, meant is 1")
    bed.trusts(1, 1, 1)


@case("consistent snapshots turned on, and off again")
def _(bed):
    repo, client = bed.start(consistent=False)
    repo.add_artifact("d/a", b"A")
    repo.publish("targets", "snapshot", "timestamp")
    bed.accepted(client.refresh())
    repo.asked()
    for is_on in (True, False):
        repo.root["consistent_snapshot"] = is_on
        repo.add_artifact("d/a", str(is_on).encode())
        repo.publish_all()
        bed.accepted(client.download("d/a"))
        version = "3." if is_on else ""
        requests = [f"{version}snapshot", f"{version}targets", repo.target_request("d/a")]
        bed.equal(repo.asked()[-3:], requests, "requests")
        bed.equal(client.artifacts(), {"d%2Fa": str(is_on).encode()}, "artifacts")
