# SPDX-License-Identifier: Apache-2.0
"""Time and versions: freeze, rollback, fast-forward."""
from bed import case, day, each
from tuf_simulator import TOP_LEVEL, Key, when


# ---- expiry --------------------------------------------------------------------------------------


@case("an expired root is kept, and nothing after it is asked for")
def _(bed):
    repo, client = bed.start()
    bed.accepted(client.refresh())
    repo.asked()
    repo.root["expires"] = when(-1)
    repo.publish_all()
    bed.refused(client.refresh(), "expired")
    bed.asked("2.root", "3.root")
    bed.trusts(2, 1, 1, 1)


@case("an expired root does not count if the next one is good")
def _(bed):
    repo, client = bed.start()
    repo.root["expires"] = when(-10)
    repo.publish("root")
    repo.root["expires"] = when(10)
    repo.publish("root")
    bed.accepted(client.refresh())
    bed.trusts(3, 1, 1, 1)


@each("expired", ("timestamp", "snapshot", "targets"))
def _(bed, role):
    repo, client = bed.start()
    bed.accepted(client.refresh())
    repo.signed[role]["expires"] = when(-5)
    repo.publish("targets", "snapshot", "timestamp")
    bed.refused(client.refresh(), "expired")
    after = {"timestamp": (1, 1, 1, 1), "snapshot": (1, 2, 1, 1), "targets": (1, 2, 2, 1)}
    bed.trusts(*after[role])


@each("expired by the time of the second refresh, the repository has a newer one", TOP_LEVEL)
def _(bed, role):
    repo, client = bed.start()
    repo.signed[role]["expires"] = when(7)
    repo.publish_all()
    bed.accepted(client.refresh())
    repo.signed[role]["expires"] = when(21)
    repo.publish_all()
    bed.accepted(client.refresh(fake_time=day(18)))
    bed.trusts(3, 3, 3, 3)
    bed.trusts_all()


@each("expired by the time of the second refresh, the repository has nothing newer", TOP_LEVEL)
def _(bed, role):
    repo, client = bed.start()
    repo.signed[role]["expires"] = when(7)
    repo.publish_all()
    bed.accepted(client.refresh())
    bed.refused(client.refresh(fake_time=day(18)), "expired")
    bed.accepted(client.refresh(fake_time=day(6)))


@case("an expired local timestamp still guards against a rollback")
def _(bed):
    repo, client = bed.start()
    repo.timestamp["expires"] = when(7)
    repo.publish("timestamp", version=9)
    bed.accepted(client.refresh())
    repo.timestamp["expires"] = when(21)
    repo.publish("timestamp", version=8)
    bed.refused(client.refresh(fake_time=day(18)), "older than 9")
    repo.publish("timestamp", version=10)
    bed.accepted(client.refresh(fake_time=day(18)))


@case("the clock ten years ahead, and at the epoch")
def _(bed):
    repo, client = bed.start()
    bed.refused(client.refresh(fake_time=day(3650)), "root.json (version 1): expired")
    bed.trusts(1)
    bed.accepted(client.refresh(fake_time="1970-01-02 00:00:00+00:00"))
    bed.trusts(1, 1, 1, 1)


@case("a delegated role that is expired")
def _(bed):
    repo, client = bed.start()
    repo.delegate("targets", "A", ["a/*"])
    repo.signed["A"]["expires"] = when(-1)
    repo.add_artifact("a/1", b"1", "A")
    repo.publish("A", "targets", "snapshot", "timestamp")
    bed.accepted(client.refresh())
    bed.refused(client.download("a/1"), "A.json (version 1): expired")
    bed.equal(client.artifacts(), {}, "artifacts")
    bed.trusts(1, 2, 2, 2)


@case("a delegated role that expires while it is trusted, then is renewed")
def _(bed):
    repo, client = bed.start()
    repo.delegate("targets", "A", ["a/*"])
    repo.signed["A"]["expires"] = when(7)
    repo.add_artifact("a/1", b"1", "A")
    repo.add_artifact("a/2", b"2", "A")
    repo.publish("A", "targets", "snapshot", "timestamp")
    bed.accepted(client.download("a/1"))
    bed.refused(client.download("a/2", fake_time=day(18)), "A.json (version 1): expired")
    bed.equal(client.artifacts(), {"a%2F1": b"1"}, "artifacts")
    repo.signed["A"]["expires"] = when(21)
    repo.publish("A", "snapshot", "timestamp")
    bed.accepted(client.download("a/2", fake_time=day(18)))
    bed.equal(client.artifacts(), {"a%2F1": b"1", "a%2F2": b"2"}, "artifacts")


# ---- rollback and fast-forward -------------------------------------------------------------------


@case("rollback of the timestamp")
def _(bed):
    repo, client = bed.start()
    repo.publish("timestamp")
    bed.accepted(client.refresh())
    repo.asked()
    repo.publish("timestamp", version=1)
    bed.refused(client.refresh(), "older than 2")
    bed.asked("2.root", "timestamp")
    bed.trusts(1, 2, 1, 1)


@case("rollback of the root")
def _(bed):
    repo, client = bed.start()
    repo.publish("root")
    bed.accepted(client.refresh())
    old = repo.files["metadata/1.root.json"]
    for data in (old, repo.files["metadata/2.root.json"]):
        repo.files["metadata/3.root.json"] = data
        bed.refused(client.refresh(), "trusted before is 2")
    bed.trusts(2, 1, 1, 1)


@each("rollback of the snapshot", {"": False, "with hashes": True})
def _(bed, with_hashes):
    repo, client = bed.start()
    repo.with_hashes = with_hashes
    repo.publish("snapshot", "timestamp")
    bed.accepted(client.refresh())
    repo.asked()
    repo.publish("snapshot", version=1)
    repo.publish("timestamp")
    bed.refused(client.refresh(), "snapshot.json version 1 is older than 2")
    bed.asked("2.root", "timestamp")
    bed.trusts(1, 2, 2, 1)


@case("rollback of the snapshot, when only the timestamp's copy remembers")
def _(bed):
    repo, client = bed.start()
    repo.publish("snapshot", "timestamp")
    bed.accepted(client.refresh())
    (client.metadata_dir / "snapshot.json").unlink()
    (client.metadata_dir / "targets.json").unlink()
    repo.publish("snapshot", version=1)
    repo.publish("timestamp")
    bed.refused(client.refresh(), "older than 2")


@each("rollback of targets", {"": False, "with hashes": True})
def _(bed, with_hashes):
    repo, client = bed.start()
    repo.with_hashes = with_hashes
    repo.publish("targets", "snapshot", "timestamp")
    bed.accepted(client.refresh())
    repo.publish("targets", version=1)
    repo.publish("snapshot", "timestamp")
    bed.refused(client.refresh(), "targets.json version 1 is older than 2")
    bed.trusts(1, 3, 2, 2)


@case("rollback of targets, when only the snapshot's copy remembers")
def _(bed):
    repo, client = bed.start()
    repo.publish("targets", "snapshot", "timestamp")
    bed.accepted(client.refresh())
    (client.metadata_dir / "targets.json").unlink()
    (client.metadata_dir / "timestamp.json").unlink()
    repo.publish("targets", version=1)
    repo.publish("snapshot", "timestamp")
    bed.refused(client.refresh(), "targets.json version 1 is older than 2")


@case("rollback of a delegated role, and a delegated role that disappears")
def _(bed):
    repo, client = bed.start()
    repo.delegate("targets", "A")
    repo.publish("A", "A", "targets", "snapshot", "timestamp")
    bed.refused(client.download("x"), "no role signs for it")
    repo.publish("A", version=1)
    repo.publish("snapshot", "timestamp")
    bed.refused(client.refresh(), "A.json version 1 is older than 2")
    del repo.snapshot["meta"]["A.json"]
    repo.publish("snapshot", "timestamp")
    bed.refused(client.refresh(), "A.json has disappeared")
    bed.trusts(1, 4, 2, 2, A=2)


@case("a snapshot whose older version is served: the copy that is there will do")
def _(bed):
    repo, client = bed.start()
    repo.publish("snapshot", "timestamp")
    bed.accepted(client.refresh())
    repo.files["metadata/2.snapshot.json"] = repo.files["metadata/1.snapshot.json"]
    bed.accepted(client.refresh())
    bed.trusts(1, 2, 2, 1)


FAST_FORWARD = {
    "the timestamp, its key rotated": ("timestamp", ["timestamp"]),
    "the snapshot, both keys rotated": ("snapshot", ["snapshot", "timestamp"]),
    "targets, the snapshot's key rotated": ("targets", ["snapshot"]),
    "a delegated role, the snapshot's key rotated": ("A", ["snapshot"]),
}


@each("recovery from a fast-forward of", FAST_FORWARD)
def _(bed, what):
    role, rotated = what
    repo, client = bed.start()
    repo.delegate("targets", "A")
    for name in ("A", "targets", "snapshot", "timestamp"):
        repo.publish(name, version=2**53 - 2 if name == role else None)
    bed.refused(client.download("x"), "no role signs for it")
    bed.equal(client.trusted()[role], 2**53 - 2, "version")
    for other in rotated:
        repo.rotate(other)
    repo.publish("root")
    for name in ("A", "targets", "snapshot", "timestamp"):
        repo.publish(name, version=5 if name == role else None)
    bed.refused(client.download("x"), "no role signs for it")
    bed.equal(client.trusted()[role], 5, "version")
    bed.trusts_all()


@case("recovery from a fast-forward of the timestamp, one of its two keys taken away")
def _(bed):
    """What both signed is still signed by the other one, and must not count all the same."""
    repo, client = bed.start()
    stolen, kept = Key.new(), Key.new()
    repo.set_keys("timestamp", [stolen, kept])
    repo.publish("root")
    repo.publish("timestamp", version=1000)
    bed.accepted(client.refresh())
    repo.set_keys("timestamp", [kept])
    repo.publish("root")
    repo.publish("timestamp", version=5)
    bed.accepted(client.refresh())
    bed.trusts(3, 5, 1, 1)


@case("no recovery from a fast-forward without a rotation")
def _(bed):
    repo, client = bed.start()
    repo.publish("timestamp", version=1000)
    bed.accepted(client.refresh())
    repo.publish("root")
    repo.publish("timestamp", version=2)
    bed.refused(client.refresh(), "older than 1000")
    bed.trusts(2, 1000, 1, 1)


@case("copies that a rotation made void are removed, not emptied")
def _(bed):
    repo, client = bed.start()
    bed.accepted(client.refresh())
    repo.rotate("timestamp")
    repo.publish("root")  # and no timestamp by the new key
    bed.refused(client.refresh(), "timestamp.json (version 1): signed by 0 of 1")
    bed.trusts(2, targets=1)
    repo.publish("timestamp")
    bed.accepted(client.refresh())
    bed.trusts_all()


SPOILED = {
    "empty": lambda data: b"",
    "cut": lambda data: data[:100],
    "no JSON": lambda data: b"\0" * 100,
    "changed": lambda data: data.replace(b'"expires": "20', b'"expires": "30'),
    "of another role": None,
}


@each("a spoiled local copy is fetched again", SPOILED)
def _(bed, spoil):
    repo, client = bed.start()
    bed.accepted(client.refresh())
    for role in ("timestamp", "snapshot", "targets"):
        data = spoil(repo.current(role)) if spoil else repo.current("root")
        (client.metadata_dir / (role + ".json")).write_bytes(data)
        repo.asked()
        bed.accepted(client.refresh())
        asked = repo.asked()
        bed.true(role == "timestamp" or f"1.{role}" in asked, f"{role} was not fetched: {asked}")
        bed.trusts_all()
