# SPDX-License-Identifier: Apache-2.0
"""What cases are made of. A case is a function that gets a Bed: a repository and a client of its own."""
import time

from tuf_simulator import Client, Repository

CASES = []


def case(name):
    def add(function):
        CASES.append((name, function))
        return function

    return add


def each(name, values):
    """One case for each value; a dict's keys, or the values themselves, go into the name."""

    def add(function):
        for label in values:
            arguments = (label,) if not isinstance(values, dict) else (values[label],)
            CASES.append((f"{name}: {label}", lambda bed, a=arguments: function(bed, *a)))
        return function

    return add


class Wrong(Exception):
    pass


class Bed:
    def __init__(self, program, server, directory):
        self._program, self._server, self._directory = program, server, directory
        self.repo = self.client = None

    def start(self, repo=None, place="client", **options):
        """A repository, and a client that trusts its first root as init would have it."""
        directory = self._directory / place
        directory.mkdir()
        self.repo = repo or Repository(**options)
        self.client = Client(self._program, self._server, self.repo, directory)
        (self.client.metadata_dir / "root.json").write_bytes(self.repo.files["metadata/1.root.json"])
        return self.repo, self.client

    def accepted(self, status):
        if status != 0:
            raise Wrong(f"exit {status}: {self.client.error.strip()}")

    def refused(self, status, reason):
        if status != 1:
            raise Wrong(f"exit {status} instead of 1 ({reason}): {self.client.error.strip()}")
        if reason not in self.client.error:
            raise Wrong(f"no '{reason}' in: {self.client.error.strip()}")

    def equal(self, is_value, expected, what):
        if is_value != expected:
            raise Wrong(f"{what}: {is_value!r}, not {expected!r}")

    def true(self, condition, what):
        if not condition:
            raise Wrong(what)

    def trusts(self, root=None, timestamp=None, snapshot=None, targets=None, **delegated):
        roles = {"root": root, "timestamp": timestamp, "snapshot": snapshot, "targets": targets, **delegated}
        self.equal(self.client.trusted(), {r: v for r, v in roles.items() if v}, "trusted versions")

    def trusts_all(self):
        """What is served is what is trusted, byte for byte."""
        for role in self.repo.signed:
            self.equal(self.client.copy_of(role), self.repo.current(role), f"the copy of {role}")

    def asked(self, *expected):
        self.equal(self.repo.asked(), list(expected), "requests")


def day(days):
    return time.strftime("%Y-%m-%d %H:%M:%S+00:00", time.gmtime(time.time() + days * 86400))
