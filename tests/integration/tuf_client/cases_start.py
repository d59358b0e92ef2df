# SPDX-License-Identifier: Apache-2.0
"""The command line, the first root, and a refresh when all is well."""
import json

from bed import case, each
from securesystemslib.keys import verify_signature
from tuf_simulator import TOP_LEVEL, Key

CHAIN = ["2.root", "timestamp", "1.snapshot", "1.targets"]
WRONG_ED25519 = "11" * 64

# ---- the command line ----------------------------------------------------------------------------


@case("--help")
def _(bed):
    _, client = bed.start()
    bed.accepted(client.run("--help"))
    bed.true(all(verb in client.output for verb in ("init ROOT", "refresh", "download")), "verbs are missing")


@case("options in any order, in one word with their value, even after the verb")
def _(bed):
    repo, client = bed.start()
    repo.add_artifact("a", b"A")
    repo.publish("targets", "snapshot", "timestamp")
    bed.accepted(
        client.run(
            f"--target-base-url={client.target_url}", "--target-name", "a", "--metadata-url", client.metadata_url,
            "download", "--target-dir", client.target_dir, "--metadata-dir", client.metadata_dir,
        )
    )  # fmt: skip
    bed.equal(client.artifacts(), {"a": b"A"}, "artifacts")


BAD_LINES = {
    "nothing": [],
    "no verb": ["--metadata-dir", "DIR"],
    "unknown verb": ["--metadata-dir", "DIR", "install"],
    "unknown option": ["--metadata-dir", "DIR", "--metadata-url", "URL", "--insecure", "refresh"],
    "option without its value": ["refresh", "--metadata-dir"],
    "init without a root": ["--metadata-dir", "DIR", "init"],
    "init with two roots": ["--metadata-dir", "DIR", "init", "ROOT", "ROOT"],
    "init without a directory": ["init", "ROOT"],
    "refresh without a directory": ["--metadata-url", "URL", "refresh"],
    "refresh without a URL": ["--metadata-dir", "DIR", "refresh"],
    "download without a name": ["--metadata-dir", "DIR", "--metadata-url", "URL", "--target-dir", "TARGETS",
                                "--target-base-url", "URL", "download"],
    "download without a base": ["--metadata-dir", "DIR", "--metadata-url", "URL", "--target-dir", "TARGETS",
                                "--target-name", "a", "download"],
    "download without a place": ["--metadata-dir", "DIR", "--metadata-url", "URL", "--target-name", "a",
                                 "--target-base-url", "URL", "download"],
    "timeout of no time": ["--timeout", "0", "--metadata-dir", "DIR", "--metadata-url", "URL", "refresh"],
}  # fmt: skip


@each("usage", BAD_LINES)
def _(bed, line):
    repo, client = bed.start()
    words = {"DIR": client.metadata_dir, "URL": client.url, "TARGETS": client.target_dir,
             "ROOT": client.metadata_dir / "root.json"}  # fmt: skip
    bed.refused(client.run(*(words.get(word, word) for word in line)), "see tuf-client --help")
    bed.asked()


@case("init: a file that is not there")
def _(bed):
    _, client = bed.start()
    bed.refused(client.run("--metadata-dir", client.metadata_dir, "init", "/nonexistent/root.json"), "No such file")


@case("init makes the directory; refresh without an init fails and asks for nothing")
def _(bed):
    repo, client = bed.start()
    (client.metadata_dir / "root.json").unlink()
    bed.refused(client.refresh(), "No such file")
    bed.asked()
    client.metadata_dir = client.directory / "new" / "metadata"
    bed.accepted(client.init())
    bed.accepted(client.refresh())
    bed.trusts_all()


# ---- refresh -------------------------------------------------------------------------------------


@case("the test bed: securesystemslib takes the signatures")
def _(bed):
    for scheme in ("ed25519", "ecdsa-sha2-nistp256", "rsassa-pss-sha256", "rsa-pkcs1v15-sha256"):
        key = Key.new(scheme.split("-")[0].replace("rsassa", "rsa"), scheme)
        known = {**key.object, "keyid": key.id}
        bed.true(verify_signature(known, {"keyid": key.id, "sig": key.sign(b"x")}, b"x"), scheme)
        bed.true(not verify_signature(known, {"keyid": key.id, "sig": key.sign(b"y")}, b"x"), scheme)


@case("init asks for nothing, and keeps the root as it is")
def _(bed):
    repo, client = bed.start()
    (client.metadata_dir / "root.json").unlink()
    bed.accepted(client.init())
    bed.asked()
    bed.equal(client.everything(), ["metadata/root.json"], "files")
    bed.equal(client.copy_of("root"), repo.current("root"), "root")


@case("first refresh: the requests, in order, and the copies, byte for byte")
def _(bed):
    repo, client = bed.start()
    bed.accepted(client.refresh())
    bed.asked(*CHAIN)
    bed.trusts(1, 1, 1, 1)
    bed.trusts_all()
    bed.equal(client.everything(), [f"metadata/{role}.json" for role in sorted(TOP_LEVEL)], "files")


@case("second refresh: only what may have changed is asked for")
def _(bed):
    repo, client = bed.start()
    bed.accepted(client.refresh())
    repo.asked()
    bed.accepted(client.refresh())
    bed.asked("2.root", "timestamp")
    repo.publish("targets", "snapshot", "timestamp")
    bed.accepted(client.refresh())
    bed.asked("2.root", "timestamp", "2.snapshot", "2.targets")
    bed.trusts(1, 2, 2, 2)


@case("a metadata URL without a slash at its end")
def _(bed):
    repo, client = bed.start()
    client.metadata_url = client.metadata_url.rstrip("/")
    bed.accepted(client.refresh())
    bed.asked(*CHAIN)


@case("several roots at once, each asked for in turn")
def _(bed):
    repo, client = bed.start()
    for _ in range(3):
        repo.publish("root")
    bed.accepted(client.refresh())
    bed.asked("2.root", "3.root", "4.root", "5.root", "timestamp", "1.snapshot", "1.targets")
    bed.trusts(4, 1, 1, 1)
    bed.trusts_all()


@case("a chain of 60 roots")
def _(bed):
    repo, client = bed.start()
    for _ in range(59):
        repo.publish("root")
    bed.accepted(client.refresh())
    bed.trusts(60, 1, 1, 1)


@case("download refreshes first")
def _(bed):
    repo, client = bed.start()
    bed.refused(client.download("nobody signs for it"), "no role signs for it")
    bed.asked(*CHAIN)
    bed.trusts_all()
    bed.equal(client.artifacts(), {}, "artifacts")


@case("a file is kept as it came, whatever its white space")
def _(bed):
    repo, client = bed.start()
    odd = b" \n\t" + repo.current("timestamp") + b"\r\n "
    repo.serve("timestamp", odd)
    bed.accepted(client.refresh())
    bed.equal(client.copy_of("timestamp"), odd, "timestamp")


# ---- the first root ------------------------------------------------------------------------------


def no_version(root):
    del root["signed"]["version"]


def other_signature(root):
    root["signatures"][0]["sig"] = WRONG_ED25519


def no_signature(root):
    root["signatures"] = []


def another_type(root):
    root["signed"]["_type"] = "targets"


def one_byte_changed(root):
    root["signed"]["expires"] = "2099-01-01T00:00:00Z"


FIRST_ROOTS = {
    "without a version": no_version,
    "wrongly signed": other_signature,
    "unsigned": no_signature,
    "of another type": another_type,
    "changed": one_byte_changed,
}


@each("a first root that is no root", FIRST_ROOTS)
def _(bed, spoil):
    repo, client = bed.start()
    root = json.loads(repo.current("root"))
    spoil(root)
    data = json.dumps(root).encode()
    (client.metadata_dir / "root.json").unlink()
    bed.refused(client.init(data), "no valid root")
    bed.refused(client.refresh(), "No such file")
    (client.metadata_dir / "root.json").write_bytes(data)  # by someone else
    bed.refused(client.refresh(), "no valid root")
    bed.refused(client.download("a"), "no valid root")
    bed.asked()
