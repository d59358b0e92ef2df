# SPDX-License-Identifier: Apache-2.0
"""Artifacts: their names, what is kept of them, and what is not."""
import os

from bed import case, each
from tuf_simulator import TOP_LEVEL, Endless, digest, quote


ODD_PATHS = [
    "file.txt", "path/to/a/file.txt", "a b", "100%", "a%2Fb", "a/b%2Fc", "%", "%25", "%zz", "a?b=c", "a#b", "dir?/#/f",
    "a+b", "a&b", "a;b", "a:b", "http:evil", "user@host", "ünï/cödé", "日本語/ファイル", "\U0001f600",
    "~user/-._", ".hidden",
    "...", "dir/...", "a\\b", '"quoted"', "<a>", "{a}", "[a]", "a|b", "a^b", "`a`", "$HOME", "*", "a\tb", "a\nb", "-rf",
    "--help", "1.root.json", "root.json", ".#x", "e\u0301", "x" * 250, "a,b", "a=b", "!", "'", "(a)", "C:\\x",
]  # fmt: skip


@each("artifacts with odd names", {"and consistent snapshots": True, "without, and a URL without a slash": False})
def _(bed, consistent):
    repo, client = bed.start(consistent=consistent)
    for path in ODD_PATHS:
        repo.add_artifact(path, path.encode() * 3)
    repo.publish("targets", "snapshot", "timestamp")
    if not consistent:
        client.target_url = client.target_url.rstrip("/")
    bed.accepted(client.download(*ODD_PATHS))
    asked = repo.asked()[4:]
    for path, request in zip(ODD_PATHS, asked):
        bed.equal(request, repo.target_request(path), f"request for {path!r}")
        bed.equal(client.artifacts().get(quote(path)), path.encode() * 3, f"{path!r}")
    bed.equal(len(asked), len(ODD_PATHS), "number of requests")
    bed.equal(len(client.everything()), len(ODD_PATHS) + 4, "number of files")
    bed.accepted(client.download(*ODD_PATHS))
    bed.asked("2.root", "timestamp")


BAD_PATHS = ["..", ".", "../up", "../../etc/passwd", "a/../b", "a/./b", "/etc/passwd", "a//b", "x" * 254, "ü" * 50]


@each("artifact refused", BAD_PATHS + ["a/..", "a/.", "a/"])
def _(bed, path):
    # With a hash before it, the last component of a path is as good as any.
    for consistent in (True, False) if path in BAD_PATHS else (False,):
        repo, client = bed.start(place=str(consistent), consistent=consistent)
        repo.add_artifact(path, b"X")
        repo.publish("targets", "snapshot", "timestamp")
        status = client.download(path)
        bed.true(status == 1 and "no role" not in client.error, f"exit {status}: {client.error}")
        if len(path) < 50:
            bed.asked("2.root", "timestamp", *(["2.snapshot", "2.targets"] if consistent else ["snapshot", "targets"]))
        bed.equal(client.everything(), [f"metadata/{role}.json" for role in sorted(TOP_LEVEL)], "files")


@case("an artifact that is there and right is not fetched again")
def _(bed):
    repo, client = bed.start()
    repo.add_artifact("d/a", b"A" * 1000)
    repo.publish("targets", "snapshot", "timestamp")
    bed.accepted(client.download("d/a"))
    repo.asked()
    bed.accepted(client.download("d/a"))
    bed.asked("2.root", "timestamp")
    for wrong in (b"A" * 999, b"A" * 1001, b"B" * 1000, b""):
        (client.target_dir / "d%2Fa").write_bytes(wrong)
        bed.accepted(client.download("d/a"))
        bed.asked("2.root", "timestamp", repo.target_request("d/a"))
        bed.equal(client.artifacts(), {"d%2Fa": b"A" * 1000}, "artifacts")


@case("an artifact is fetched with metadata that was refreshed before")
def _(bed):
    repo, client = bed.start()
    repo.add_artifact("a", b"A")
    repo.publish("targets", "snapshot", "timestamp")
    bed.accepted(client.refresh())
    bed.equal(client.artifacts(), {}, "artifacts")
    repo.asked()
    bed.accepted(client.download("a"))
    bed.asked("2.root", "timestamp", repo.target_request("a"))


@case("several artifacts in one run, in turn")
def _(bed):
    repo, client = bed.start()
    for name in "abc":
        repo.add_artifact(name, name.encode())
    repo.publish("targets", "snapshot", "timestamp")
    bed.accepted(client.download("a", "c", "b", "a"))
    bed.equal(repo.asked()[4:], [repo.target_request(name) for name in "acb"], "requests")
    bed.equal(client.artifacts(), {"a": b"a", "b": b"b", "c": b"c"}, "artifacts")


@case("one bad artifact of several: the others are there, and the run has failed")
def _(bed):
    repo, client = bed.start()
    for name in "abc":
        repo.add_artifact(name, name.encode())
    repo.files[repo.target_request("b")] = b"x"
    repo.publish("targets", "snapshot", "timestamp")
    bed.refused(client.download("a", "b", "nobody's", "c"), "not the artifact that was signed")
    bed.equal(client.artifacts(), {"a": b"a", "c": b"c"}, "artifacts")


@case("two artifacts are exchanged for something else")
def _(bed):
    repo, client = bed.start()
    repo.add_artifact("one", b"the first one")
    repo.add_artifact("two", b"another")
    repo.publish("targets", "snapshot", "timestamp")
    bed.accepted(client.download("one"))
    for name in ("one", "two"):
        repo.files[repo.target_request(name)] = b"malicious"
    bed.accepted(client.download("one"))
    bed.refused(client.download("two"), "two")
    bed.equal(client.artifacts(), {"one": b"the first one"}, "artifacts")


SUBSTITUTES = {
    "other bytes of the same length": lambda data: bytes(b ^ 1 for b in data),
    "one bit": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "shorter": lambda data: data[:-1],
    "longer": lambda data: data + b"x",
    "nothing": lambda data: b"",
    "missing": None,
}


@each("artifact substituted", SUBSTITUTES)
def _(bed, spoil):
    repo, client = bed.start()
    data = bytes(range(256)) * 10
    repo.add_artifact("a", data)
    repo.publish("targets", "snapshot", "timestamp")
    request = repo.target_request("a")
    if spoil:
        repo.files[request] = spoil(data)
    else:
        del repo.files[request]
    bed.refused(client.download("a"), "a'")
    bed.equal(client.artifacts(), {}, "artifacts")
    bed.equal(len(client.everything()), 4, "number of files")
    (client.target_dir / "a").write_bytes(b"older")
    bed.equal(client.download("a"), 1, "exit status")
    bed.equal(client.artifacts(), {"a": b"older"}, "artifacts")
    repo.files[request] = data
    bed.accepted(client.download("a"))
    bed.equal(client.artifacts(), {"a": data}, "artifacts")


@case("an artifact without an end, and one that takes for ever")
def _(bed):
    repo, client = bed.start()
    client.timeout = ["--timeout", "3"]
    repo.add_artifact("a", b"A" * 100)
    repo.publish("targets", "snapshot", "timestamp")
    endless = repo.files[repo.target_request("a")] = Endless(b"A" * 100)
    bed.refused(client.download("a"), "a'")
    bed.true(endless.sent < 32 << 20, f"{endless.sent} bytes were read")
    repo.files[repo.target_request("a")] = Endless(pause_sec=0.1, chunk=b"A")
    bed.refused(client.download("a"), "a'")
    bed.equal(client.artifacts(), {}, "artifacts")


@case("an artifact that is said to be larger than any")
def _(bed):
    repo, client = bed.start()
    repo.add_artifact("a", b"A")
    repo.targets["targets"]["a"]["length"] = 2**53 - 1
    repo.publish("targets", "snapshot", "timestamp")
    bed.refused(client.download("a"), "File too large")
    bed.equal(repo.asked(), ["2.root", "timestamp", "2.snapshot", "2.targets"], "requests")


HASHES = {
    "SHA-256": ({"sha256": True}, True),
    "SHA-512": ({"sha512": True}, True),
    "both": ({"sha512": True, "sha256": True}, True),
    "a right SHA-256 and one nobody knows": ({"sha256": True, "blake2b": False}, True),
    "refused: a wrong SHA-512 beside a right SHA-256": ({"sha256": True, "sha512": False}, False),
    "refused: a wrong SHA-256 beside a right SHA-512": ({"sha512": True, "sha256": False}, False),
    "refused: only one that nobody knows": ({"blake2b": True}, False),
}


@each("artifact with", HASHES)
def _(bed, what):
    kinds, is_good = what
    repo, client = bed.start()
    data = b"A" * 5000
    repo.add_artifact("d/a", data)
    sizes = {"sha256": 32, "sha512": 64, "blake2b": 64}
    hashes = {k: digest(data, k) if good else "ab" * sizes[k] for k, good in kinds.items()}
    repo.targets["targets"]["d/a"]["hashes"] = hashes
    for value in hashes.values():
        repo.files[f"targets/d/{value}.a"] = data
    repo.publish("targets", "snapshot", "timestamp")
    status = client.download("d/a")
    if is_good:
        bed.accepted(status)
    else:
        bed.equal(status, 1, "exit status")
    bed.equal(client.artifacts(), {"d%2Fa": data} if is_good else {}, "artifacts")


@case("an empty artifact")
def _(bed):
    repo, client = bed.start()
    repo.add_artifact("empty", b"")
    repo.publish("targets", "snapshot", "timestamp")
    bed.accepted(client.download("empty"))
    bed.equal(client.artifacts(), {"empty": b""}, "artifacts")


@case("a large artifact")
def _(bed):
    repo, client = bed.start()
    data = os.urandom(1 << 20) * 8
    repo.add_artifact("large", data)
    repo.publish("targets", "snapshot", "timestamp")
    bed.accepted(client.download("large"))
    bed.true(client.artifacts() == {"large": data}, "it is not the artifact")


@case("an artifact changes many times, and is replaced by something bad in between")
def _(bed):
    repo, client = bed.start()
    expected = {}
    for i in range(8):
        repo.add_artifact("d/a", f"version {i}".encode())
        repo.add_artifact(f"new {i}", f"new {i}".encode())
        repo.publish("targets", "snapshot", "timestamp")
        if i % 3:
            continue  # the client does not see every version
        bed.accepted(client.download("d/a"))
        bed.accepted(client.download(f"new {i}"))
        expected |= {"d%2Fa": f"version {i}".encode(), f"new%20{i}": f"new {i}".encode()}
        bed.equal(client.artifacts(), expected, "artifacts")
        repo.files[repo.target_request("d/a")] = b"malicious"
        (client.target_dir / "d%2Fa").unlink()
        bed.refused(client.download("d/a"), "a'")
        del expected["d%2Fa"]
        bed.equal(client.artifacts(), expected, "artifacts")


@case("the target directory is made; one that is a file is refused")
def _(bed):
    repo, client = bed.start()
    repo.add_artifact("a", b"A")
    repo.publish("targets", "snapshot", "timestamp")
    client.target_dir = client.directory / "x" / "y"
    bed.accepted(client.download("a"))
    bed.equal(client.artifacts(), {"a": b"A"}, "artifacts")
    client.target_dir = client.metadata_dir / "root.json"
    bed.refused(client.download("a"), "Not a directory")


@case("a link in the target directory is replaced, not followed")
def _(bed):
    repo, client = bed.start()
    repo.add_artifact("a", b"A")
    repo.publish("targets", "snapshot", "timestamp")
    outside = client.directory / "outside"
    outside.write_bytes(b"mine")
    (client.target_dir / "a").symlink_to(outside)
    bed.accepted(client.download("a"))
    bed.equal(outside.read_bytes(), b"mine", "what the link led to")
    bed.true(not (client.target_dir / "a").is_symlink(), "it is still a link")
