# SPDX-License-Identifier: Apache-2.0
"""Delegated roles: whom a search visits, in which order, and whom it believes."""
from bed import case, each
from tuf_simulator import TOP_LEVEL, Key, digest, quote

ENDS = {"terminating": True}
PY = {"paths": ["*.py"]}

# Delegations in order (delegator, role, options), and who is asked for a path that nobody has.
GRAPHS = {
    "one": ([("targets", "A")], "A"),
    "two beside each other": ([("targets", "A"), ("targets", "B")], "AB"),
    "a child of the second": ([("targets", "A"), ("targets", "B"), ("B", "C")], "ABC"),
    "children before siblings": ([("targets", "A"), ("targets", "B"), ("A", "C"), ("A", "D")], "ACDB"),
    "grandchildren before siblings": ([("targets", "A"), ("targets", "B"), ("A", "C"), ("C", "D")], "ACDB"),
    "terminating: only itself": ([("targets", "A"), ("targets", "B"), ("A", "C", ENDS), ("A", "D")], "AC"),
    "terminating: its children": ([("targets", "A"), ("targets", "B"), ("A", "C", ENDS), ("C", "D")], "ACD"),
    "terminating at the top": ([("targets", "A", ENDS), ("targets", "B")], "A"),
    "terminating, but of another path": ([("targets", "A", ENDS | PY), ("targets", "B")], "B"),
    "other paths at the top": ([("targets", "A", PY), ("targets", "B"), ("A", "C")], "B"),
    "other paths below": ([("targets", "A"), ("targets", "B"), ("A", "C", PY), ("C", "D")], "AB"),
    "an empty list of paths": ([("targets", "A", {"paths": []}), ("targets", "B")], "B"),
    "neither paths nor prefixes": ([("targets", "A", {"paths": None}), ("targets", "B")], "B"),
    "a circle": ([("targets", "A"), ("targets", "B"), ("B", "C"), ("C", "D"), ("D", "B")], "ABCD"),
    "a role that delegates to itself": ([("targets", "A"), ("A", "A"), ("targets", "B")], "AB"),
    "two that delegate to each other": ([("targets", "A"), ("targets", "B"), ("A", "B"), ("B", "A")], "AB"),
    "a third of two": ([("targets", "A"), ("targets", "B"), ("B", "C"), ("A", "C")], "ACB"),
    "a third of two, by other paths": ([("targets", "A"), ("targets", "B"), ("B", "C"), ("A", "C", PY)], "ABC"),
    "deep": ([("targets", "A")] + [(chr(c), chr(c + 1)) for c in range(ord("A"), ord("K"))], "ABCDEFGHIJK"),
}  # fmt: skip


def build(repo, delegations):
    for delegator, role, *options in delegations:
        repo.delegate(delegator, role, **(options[0] if options else {}))
    repo.publish(*(r for r in repo.signed if r not in TOP_LEVEL), "targets", "snapshot", "timestamp")


@each("search", GRAPHS)
def _(bed, graph):
    delegations, order = graph
    repo, client = bed.start()
    build(repo, delegations)
    bed.refused(client.download("missing"), "no role signs for it")
    bed.asked("2.root", "timestamp", "2.snapshot", "2.targets", *(f"1.{role}" for role in order))
    bed.trusts(1, 2, 2, 2, **{role: 1 for role in order})
    bed.refused(client.download("missing"), "no role signs for it")
    bed.asked("2.root", "timestamp")


TREE = [
    ("targets", "A", {"paths": ["*.doc", "*.md"]}),
    ("targets", "B", {"paths": ["releases/*/*"]}),
    ("B", "C", {"paths": ["releases/x/*"]}),
    ("B", "D", {"paths": ["releases/y/*.zip"]}),
]
TREE_ARTIFACTS = [("targets", "file"), ("A", "README.md"), ("C", "releases/x/x_v1"), ("D", "releases/y/y_v1.zip"),
                  ("D", "releases/z/z_v1.zip"), ("A", "secret"), ("B", "releases/b")]  # fmt: skip
IN_TREE = {"file": "", "README.md": "A", "releases/x/x_v1": "BC", "releases/y/y_v1.zip": "BD"}
NOT_IN_TREE = {"releases/z/z_v1.zip": "B", "secret": "", "releases/b": "", "readme.md/x": ""}


@each("found", list(IN_TREE) + list(NOT_IN_TREE))
def _(bed, path):
    repo, client = bed.start()
    for delegator, role, options in TREE:
        repo.delegate(delegator, role, **options)
    for role, artifact in TREE_ARTIFACTS:
        repo.add_artifact(artifact, f"{artifact} of {role}".encode(), role)
    build(repo, [])
    status = client.download(path)
    requests = [r for r in repo.asked() if not r.startswith("targets/")][4:]
    if path in IN_TREE:
        bed.accepted(status)
        bed.true(client.artifacts()[quote(path)].startswith(path.encode()), "another artifact")
    else:
        bed.refused(status, "no role signs for it")
        bed.equal(client.artifacts(), {}, "artifacts")
    bed.equal(requests, [f"1.{r}" for r in {**IN_TREE, **NOT_IN_TREE}[path]], "roles asked for")


PATTERNS = {
    "*": ["a", "", ".hidden", "a.b"],
    "a/*": ["a/b", "a/", "a/.b"],
    "*/*": ["a/b", "/"],
    "a*b": ["ab", "axxb", "abab"],
    "?": ["a", "*"],
    "a?c": ["abc", "a.c"],
    "*.tgz": ["x.tgz", ".tgz"],
    "foo-version-?.tgz": ["foo-version-2.tgz", "foo-version-a.tgz"],
    "[ab]": ["[ab]"],
    "a\\*": ["a\\", "a\\x"],
    "{a,b}": ["{a,b}"],
    "**": ["a", "abc"],
    "dir/sub/f": ["dir/sub/f"],
    "ü*": ["üé"],
}
NOT_PATTERNS = {
    "*": ["a/b", "/"],
    "a/*": ["a", "a/b/c", "b/a"],
    "**": ["a/b"],
    "**/x": ["a/b/x"],
    "?": ["", "ab", "/"],
    "a?c": ["a/c", "ac"],
    "*.tgz": ["d/x.tgz", "x.tgz.sig", "x.TGZ"],
    "[ab]": ["a", "b"],
    "{a,b}": ["a"],
    "a": ["A", "a ", "aa"],
    "foo-version-?.tgz": ["foo-version-12.tgz"],
}


@each("pattern", list({**PATTERNS, **NOT_PATTERNS}))
def _(bed, pattern):
    repo, client = bed.start()
    repo.delegate("targets", "A", [pattern])
    good = [p for p in PATTERNS.get(pattern, []) if p]
    bad = [p for p in NOT_PATTERNS.get(pattern, []) if p]
    for path in good + bad:
        repo.add_artifact(path, path.encode(), "A", serve=False)
    build(repo, [])
    for path in good + bad:
        # Found or not is what counts here: the bytes are not there.
        bed.refused(client.download(path), "no role signs for it" if path in bad else "/")
        bed.true(path in bad or "no role" not in client.error, f"'{path}' was not found")


@case("path_hash_prefixes")
def _(bed):
    repo, client = bed.start()
    role_of_digit = {}
    for role, digits in (("low", "0123"), ("mid", "4567"), ("high", "89ab"), ("top", "cdef")):
        repo.delegate("targets", role, prefixes=list(digits))
        role_of_digit.update(dict.fromkeys(digits, role))
    paths = {f"file-{i}": role_of_digit[digest(b"file-%d" % i)[0]] for i in range(8)}
    for path, role in paths.items():
        repo.add_artifact(path, path.encode(), role)
    build(repo, [])
    for path, role in paths.items():
        for name in role_of_digit.values():
            (client.metadata_dir / (name + ".json")).unlink(missing_ok=True)
        repo.asked()
        bed.accepted(client.download(path))
        asked = [name for name in repo.asked() if name[2:] in role_of_digit.values()]
        bed.equal(asked, [f"1.{role}"], "roles asked for")


@case("path_hash_prefixes: as long as the hash, and one digit off")
def _(bed):
    repo, client = bed.start()
    full = digest(b"a/b")
    repo.delegate("targets", "near", prefixes=[full[:-1] + ("0" if full[-1] != "0" else "1"), full[1:]])
    repo.delegate("targets", "exact", prefixes=[full])
    for role in ("near", "exact"):
        repo.add_artifact("a/b", role.encode(), role)
    build(repo, [])
    bed.accepted(client.download("a/b"))
    bed.equal(client.artifacts(), {"a%2Fb": b"exact"}, "artifacts")


@case("at most 32 delegated roles are visited")
def _(bed):
    repo, client = bed.start()
    roles = [f"role{i}" for i in range(40)]
    for role in roles:
        repo.delegate("targets", role)
    repo.add_artifact("last", b"last", roles[31])
    repo.add_artifact("too far", b"too far", roles[32])
    build(repo, [])
    bed.refused(client.download("too far"), "no role signs for it")
    bed.equal(len(repo.asked()), 4 + 32, "requests")
    bed.accepted(client.download("last"))


@case("a search without an end is bounded too")
def _(bed):
    repo, client = bed.start()
    repo.delegate("targets", "r0")
    for i in range(60):
        repo.delegate(f"r{i}", f"r{i + 1}")
    build(repo, [])
    bed.refused(client.download("x"), "no role signs for it")
    bed.equal(len(repo.asked()), 4 + 32, "requests")


def unsigned(repo):
    repo.keys["A"] = []


def by_a_stranger(repo):
    repo.keys["A"] = [Key.new()]


def by_the_delegator(repo):
    repo.keys["A"] = repo.keys["targets"]


DELEGATED = {
    "unsigned": unsigned,
    "signed by a stranger": by_a_stranger,
    "signed by who delegates": by_the_delegator,
}


@each("a delegated role", DELEGATED)
def _(bed, spoil):
    repo, client = bed.start()
    repo.delegate("targets", "A")
    repo.add_artifact("a", b"A", "A")
    spoil(repo)
    build(repo, [])
    bed.refused(client.download("a"), "A.json (version 1): signed by 0 of 1")
    bed.trusts(1, 2, 2, 2)
    bed.equal(client.artifacts(), {}, "artifacts")


@case("a delegated role with a threshold, and its keys rotated")
def _(bed):
    repo, client = bed.start()
    repo.delegate("targets", "A", threshold=2)
    repo.add_artifact("a", b"A", "A")
    build(repo, [])
    bed.refused(client.download("a"), "signed by 1 of 2")
    repo.add_key("A", Key.new(), "targets")
    repo.publish("A", "targets", "snapshot", "timestamp")
    bed.accepted(client.download("a"))
    place, entry = repo._delegation("A", "targets")
    place["keys"].clear()
    entry["keyids"].clear()
    repo.keys["A"] = []
    repo.add_key("A", Key.new(), "targets")
    repo.add_key("A", Key.new(), "targets")
    repo.publish("targets", "snapshot", "timestamp")  # A's version 2 is by the old keys
    bed.refused(client.download("a"), "signed by 0 of 2")
    repo.publish("A", "snapshot", "timestamp")
    bed.accepted(client.download("a"))


@case("a role of two delegators must satisfy the one it is reached by")
def _(bed):
    repo, client = bed.start()
    repo.delegate("targets", "A", ["a"])
    repo.delegate("targets", "B", ["b"])
    repo.delegate("A", "C", ["a"])
    repo.delegate("B", "C", ["b"])
    repo.keys["C"].pop(0)  # A's
    for path in ("a", "b"):
        repo.add_artifact(path, path.encode(), "C")
    build(repo, [])
    bed.refused(client.download("a"), "C.json (version 1): signed by 0 of 1")
    bed.accepted(client.download("b"))
    bed.refused(client.download("b", "a"), "C.json (version 1): signed by 0 of 1")
    bed.equal(client.artifacts(), {"b": b"b"}, "artifacts")


@case("a delegated role that the snapshot does not list, and one that is not there")
def _(bed):
    repo, client = bed.start()
    repo.delegate("targets", "A")
    repo.publish("targets", "snapshot", "timestamp")
    bed.refused(client.download("x"), "does not list A.json")
    repo.publish("A", "snapshot", "timestamp")
    del repo.files["metadata/1.A.json"]
    bed.refused(client.download("x"), "1.A.json: not in the repository")
    bed.trusts(1, 3, 3, 2)


@case("what a role lists that nobody lets it speak for is not found")
def _(bed):
    repo, client = bed.start()
    repo.delegate("targets", "A", ["a/*"])
    repo.add_artifact("b", b"A's b", "A")
    repo.add_artifact("a/c", b"A's", "A")
    repo.add_artifact("a/c", b"the delegator's", "targets")
    build(repo, [])
    bed.refused(client.download("b"), "no role signs for it")
    bed.accepted(client.download("a/c"))
    bed.equal(client.artifacts(), {"a%2Fc": b"the delegator's"}, "artifacts")


ODD_ROLES = [
    "?", "#", "/delegatedrole", "../delegatedrole", "..", ".", "a b", "a/b/c", "%2F", "100%", "x.json", "1.snapshot",
    "root.json", "1.root.json", "Root", "\\", "a\nb", '"', "ünïcödé", "日本", "\U0001f600",
    "+", "a&b=c;d", "~-._", "-rf",
    "con", "targets.json", "x" * 240, ".#root", "*",
]  # fmt: skip


@each("role name", ODD_ROLES)
def _(bed, role):
    repo, client = bed.start()
    repo.delegate("targets", role)
    repo.add_artifact("a", b"A", role)
    build(repo, [])
    bed.accepted(client.download("a"))
    bed.true("1." + quote(role) in repo.asked(), "the role was not asked for")
    bed.equal(client.trusted(), {"root": 1, "timestamp": 2, "snapshot": 2, "targets": 2, quote(role): 1}, "trusted")
    bed.trusts_all()
    bed.equal(len(client.everything()), 6, "number of files")


BAD_ROLES = ["", "root", "timestamp", "snapshot", "targets", "1.root", "77.root", "x" * 300, "ü" * 50]


@each("refused role name", BAD_ROLES)
def _(bed, role):
    repo, client = bed.start()
    bed.accepted(client.refresh())
    before = client.everything()
    repo.delegate("targets", "A", ["other"])
    repo.targets["delegations"]["roles"][0] |= {"name": role, "paths": ["*"]}
    repo.publish("targets")
    repo.snapshot["meta"].setdefault(role + ".json", {"version": 1})
    repo.publish("snapshot", "timestamp")
    repo.files[f"metadata/1.{quote(role)}.json"] = repo.current("targets")
    status = client.download("a")
    bed.true(status == 1 and client.error, f"exit {status}: {client.error}")
    bed.equal(client.everything(), before, "files")
    bed.true(client.trusted()["timestamp"] == 2, "it did not come so far")


@case("a role that is delegated to twice in one list")
def _(bed):
    repo, client = bed.start()
    repo.delegate("targets", "A", ["x"])
    repo.delegate("targets", "A", ["y"])
    build(repo, [])
    bed.refused(client.refresh(), "twice")
