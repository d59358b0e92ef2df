# SPDX-License-Identifier: Apache-2.0
"""Who may sign: chains of roots, thresholds, types of keys, keys and signatures that repeat."""
from bed import case, each
from tuf_simulator import Key, Repository

WRONG_ED25519 = "11" * 64


# (keys, threshold, who signs), one for each version of the root; the last is refused where so marked.
ROOT_CHAINS = {
    "1 of 1, another key": [([1], 1, [1]), ([2], 1, [2, 1]), ([2], 1, [2])],
    "1 of 1, signatures of strangers": [([1], 1, [3, 1, 4]), ([2], 1, [3, 2, 1, 4]), ([2], 1, [3, 2, 4])],
    "3 of 5, different ones sign": [([0, 1, 2, 3, 4], 3, s) for s in ([0, 2, 4], [0, 4, 1], [0, 1, 3], [4, 3, 2])],
    "3 of 5, one key changes": [([0, 1, 2, 3, 4], 3, [0, 2, 4]), ([0, 1, 3, 4, 5], 3, [0, 4, 1])],
    "3 of 5, one key changes, more sign": [([0, 1, 2, 3, 4], 3, [0, 2, 4]), ([0, 1, 3, 4, 5], 3, [0, 2, 4, 5]),
                                           ([0, 1, 3, 4, 5], 3, [0, 4, 5])],
    "3 of 5, all keys change": [([0, 1, 2, 3, 4], 3, [0, 2, 4]), ([5, 6, 7, 8, 9], 3, [0, 2, 4, 5, 6, 7]),
                                ([5, 6, 7, 8, 9], 3, [5, 6, 7])],
    "1 of 3 becomes 2 of 3": [([1, 2, 3], 1, [1]), ([1, 2, 3], 2, [1, 2])],
    "2 of 3 becomes 1 of 3": [([1, 2, 3], 2, [1, 2]), ([1, 2, 3], 1, [1, 2]), ([1, 2, 3], 1, [1])],
    "1 of 1 becomes 2 of 2": [([1], 1, [1]), ([1, 2], 2, [1, 2])],
    "3 of 5 becomes 1 of 1": [([0, 1, 2, 3, 4], 3, [0, 1, 2]), ([9], 1, [3, 9, 4, 0]), ([9], 1, [9])],
    "refused: the old key did not sign": [([1], 1, [1]), ([2], 1, [2, 3, 4]), False],
    "refused: the new key did not sign": [([1], 1, [1]), ([2], 1, [1, 3, 4]), False],
    "refused: 2 of the 3 new": [([0, 1, 2, 3, 4], 3, [0, 2, 4]), ([0, 1, 3, 4, 5], 3, [0, 2, 4]), False],
    "refused: 2 of the 3 old": [([0, 1, 2, 3, 4], 3, [0, 2, 4]), ([0, 1, 3, 4, 5], 3, [0, 4, 5]), False],
    "refused: the new threshold": [([1, 2, 3], 1, [1]), ([1, 2, 3], 2, [2]), False],
    "refused: the old threshold": [([1, 2, 3], 2, [1, 2]), ([1, 2, 3], 1, [1]), False],
    "refused: one key signs twice": [([1, 2], 2, [1, 2]), ([1, 2], 2, [1, 1]), False],
    "refused: nobody signs": [([1], 1, [1]), ([1], 1, []), False],
    "refused: a version was left out": [([1], 1, [1]), ([1], 1, [1]), ([2], 1, [2, 3]), False],
}  # fmt: skip


@each("root", ROOT_CHAINS)
def _(bed, chain):
    keys = [Key.new() for _ in range(10)]
    repo = Repository()
    versions = [v for v in chain if v]
    for number, (members, threshold, signers) in enumerate(versions, 1):
        repo.set_keys("root", [keys[i] for i in members], threshold, [keys[i] for i in signers])
        repo.publish("root", version=number)
    bed.start(repo)
    status, good = bed.client.refresh(), len(versions)
    if chain[-1]:
        bed.accepted(status)
    else:
        good -= 1
        bed.true(status == 1 and f"{good + 1}.root.json" in bed.client.error, f"exit {status}: {bed.client.error}")
    bed.equal(bed.client.copy_of("root"), repo.files[f"metadata/{good}.root.json"], "root")
    bed.equal(bed.client.trusted()["root"], good, "root's version")


OTHER_CHANGES = {
    "another key": ([2], 1, [2], True),
    "signatures of strangers": ([1], 1, [3, 1, 4], True),
    "refused: the new key did not sign": ([2], 1, [1, 3, 4], False),
    "refused: 2 of 3 and a stranger": ([0, 1, 3, 4, 5], 3, [0, 2, 4], False),
    "refused: 2 of 3": ([0, 1, 3, 4, 5], 3, [0, 4], False),
    "refused: 2 of 3, one twice": ([0, 1, 3, 4, 5], 3, [0, 4, 4], False),
    "refused: fewer keys than the threshold": ([0, 1, 2, 3], 5, [0, 1, 2, 3], False),
    "3 of 5, these": ([0, 1, 2, 3, 4], 3, [0, 2, 4], True),
    "3 of 5, others": ([0, 1, 2, 3, 4], 3, [0, 4, 1], True),
    "3 of 5, others again": ([0, 1, 2, 3, 4], 3, [1, 2, 3], True),
    "5 of 5": ([0, 1, 2, 3, 4], 5, [4, 3, 2, 1, 0], True),
}


@each("timestamp, snapshot, targets", OTHER_CHANGES)
def _(bed, change):
    members, threshold, signers, is_good = change
    keys = [Key.new() for _ in range(6)]
    for role in ("timestamp", "snapshot", "targets"):
        repo, client = bed.start(place=role)
        repo.set_keys(role, [keys[i] for i in members], threshold, [keys[i] for i in signers])
        repo.publish_all()
        if is_good:
            bed.accepted(client.refresh())
            bed.trusts_all()
        else:
            status = client.refresh()
            bed.true(status == 1 and role + ".json" in client.error, f"{role}: exit {status}: {client.error}")
            bed.equal(client.trusted()["root"], 2, "root's version")
            bed.true(role not in client.trusted(), "it is trusted")


@case("a signature fewer than before")
def _(bed):
    repo, client = bed.start()
    repo.set_keys("snapshot", [Key.new() for _ in range(3)], 3)
    repo.publish_all()
    bed.accepted(client.refresh())
    repo.keys["snapshot"].pop()
    repo.publish("snapshot", "timestamp")
    bed.refused(client.refresh(), "signed by 2 of 3")
    bed.trusts(2, 3, 2, 2)


KEY_TYPES = {
    "ed25519": ("ed25519", "ed25519"),
    "ecdsa P-256": ("ecdsa", "ecdsa-sha2-nistp256"),
    "ecdsa P-256, its older name": ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256"),
    "ecdsa P-384": ("ecdsa", "ecdsa-sha2-nistp384"),
    "ecdsa P-384, its older name": ("ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384"),
    "rsa-pss": ("rsa", "rsassa-pss-sha256"),
    "rsa PKCS#1 v1.5": ("rsa", "rsa-pkcs1v15-sha256"),
}


@each("key type", KEY_TYPES)
def _(bed, names):
    repo, client = bed.start()
    key = Key.new(*names)
    repo.add_key("root", key)
    repo.root["roles"]["root"]["threshold"] = 2
    repo.rotate("timestamp")
    repo.set_keys("snapshot", [key])
    repo.publish_all()
    bed.accepted(client.refresh())
    bed.trusts_all()
    repo.publish("root")
    good = key.sign(b"something else")
    wrong = {"of other bytes": good, "cut": good[:-2], "longer": good + "00", "empty": "", "no hex": "signature",
             "zeros": "00" * (len(good) // 2), "ff": "ff" * (len(good) // 2), "one byte": "30",
             "ten thousand bytes": "30" * 10000}  # fmt: skip
    for how, signature in wrong.items():
        repo.alter("root", lambda e, s=signature: e["signatures"][1].update(sig=s))
        status = client.refresh()
        bed.true(status == 1 and "signed by 1 of 2" in client.error, f"{how}: exit {status}: {client.error}")
        bed.equal(client.trusted()["root"], 2, "root's version")
    repo.publish("root", version=3)
    bed.accepted(client.refresh())


@case("one key's type, another key's scheme: it never counts")
def _(bed):
    repo, client = bed.start()
    key = Key.new("ecdsa", "ecdsa-sha2-nistp256")
    liar = Key(key._private, "rsa", "rsassa-pss-sha256")
    liar.sign = key.sign
    repo.set_keys("timestamp", [liar])
    repo.publish_all()
    status = client.refresh()
    bed.true(status == 1, f"exit {status}")
    bed.true("timestamp" not in client.trusted(), "it is trusted")


@case("keys that are no keys are tolerated, and never count")
def _(bed):
    repo, client = bed.start()
    for public in ("", "00" * 32, "zz" * 32, "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"):
        key = Key.new()
        key.object["keyval"] = {"public": public}
        repo.add_key("timestamp", key)
    repo.publish_all()
    bed.accepted(client.refresh())
    repo.root["roles"]["timestamp"]["threshold"] = 2
    repo.publish_all()
    bed.refused(client.refresh(), "signed by 1 of 2")


@case("keys of unknown types and schemes are tolerated, and never count")
def _(bed):
    repo, client = bed.start()
    keys = [Key.new() for _ in range(2)]
    keys[0].object |= {"keytype": "sphincs", "scheme": "sphincs-shake-256s"}
    keys[1].object |= {"scheme": "ed25519ph"}
    sign = keys[0]._private.sign
    for key in keys:
        key.sign = lambda data: sign(data).hex()
        repo.add_key("timestamp", key)
    repo.publish_all()
    bed.accepted(client.refresh())
    repo.root["roles"]["timestamp"]["threshold"] = 2
    repo.publish_all()
    bed.refused(client.refresh(), "signed by 1 of 2")


@case("a wrong signature beside enough right ones does not matter")
def _(bed):
    repo, client = bed.start()
    repo.add_key("timestamp", Key.new())
    repo.publish_all()
    for signature in (WRONG_ED25519, "", "00", "no hex at all"):
        repo.publish("timestamp")
        repo.alter("timestamp", lambda e, s=signature: e["signatures"][0].update(sig=s))
        bed.accepted(client.refresh())
        bed.trusts_all()


@case("a key id that is listed many times counts once")
def _(bed):
    repo, client = bed.start()
    key = Key.new()
    for _ in range(9):
        repo.allow("snapshot", key)
    repo.keys["snapshot"].append(key)
    repo.root["roles"]["snapshot"]["threshold"] = 6
    repo.publish_all()
    repo.alter("snapshot", lambda e: e["signatures"].extend([e["signatures"][1]] * 8))
    bed.equal(client.refresh(), 1, "exit status")
    bed.true("snapshot" not in client.trusted(), "it is trusted")


@case("a signature that is there twice")
def _(bed):
    repo, client = bed.start()
    repo.alter("snapshot", lambda e: e["signatures"].append(e["signatures"][0]))
    bed.equal(client.refresh(), 1, "exit status")
    bed.trusts(1, 1)


@case("two signatures of one key, both right and different")
def _(bed):
    repo, client = bed.start()
    repo.set_keys("snapshot", [Key.new("ecdsa", "ecdsa-sha2-nistp256"), Key.new()], 2)
    key = repo.keys["snapshot"][0]
    repo.keys["snapshot"] = [key, key]
    repo.publish_all()
    bed.equal(client.refresh(), 1, "exit status")
    bed.true("snapshot" not in client.trusted(), "it is trusted")


@case("one key under two ids does not reach a threshold of two")
def _(bed):
    repo, client = bed.start()
    key = Key.new()
    twins = [key, key.twin(note="another id")]
    bed.true(twins[0].id != twins[1].id, "the ids are the same")
    repo.set_keys("snapshot", twins, 2)
    repo.publish_all()
    bed.refused(client.refresh(), "signed by 1 of 2")
    bed.trusts(2, 2)
    repo.add_key("snapshot", Key.new())
    repo.publish_all()
    bed.accepted(client.refresh())


@case("a key of another role does not count")
def _(bed):
    repo, client = bed.start()
    repo.keys["timestamp"] = repo.keys["snapshot"]
    repo.publish_all()
    bed.refused(client.refresh(), "signed by 0 of 1")
    bed.trusts(2)
