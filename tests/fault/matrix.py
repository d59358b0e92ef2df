#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a gateway under the faults of expected.txt.

matrix.py BIN                  every cell
matrix.py BIN --seconds 15     those of ALWAYS; then every fault once, in a phase that the seed picks, then other
                               cells, for so long
matrix.py BIN --random 100     so many schedules of several faults at once
matrix.py BIN --cell 3:segment one cell, told at length

A cell: a gateway as it came from the factory runs its agent while the fault lasts, and again, a day later, when it
has cleared. The seed (--seed, FAULT_SEED) is printed. FAULT_KEEP=1 keeps the scratch directory.
"""
import argparse
import os
import random
import re
import shutil
import sys
import time

from catalogue import OF_CONNECTION, PHASES, Fault, by_word
from gateway import BASE, FETCH_TIMEOUT_SEC, NEW, OLD, Page, World

HERE = os.path.dirname(os.path.abspath(__file__))
SEC = 1_000_000_000
DAY_SEC = 25 * 3600
# The third request for segments is the first that is hit: something is there to go on from. A server
# without Range is one from the first.
FIRST_SEGMENT_REQUEST = 3
# A phase, as updaterd.conf has it, and something for what is around.
PHASE_MAX_SEC = 900 + 15
ATTEMPTS = 6
AT_ONCE = 16
SEGMENT_BYTES = 4096  # of network_type=lte-m
RSS_MAX_BYTES = 40 << 20
DISK_MARGIN_BYTES = 64 << 10
TEMPORARY = ("network", "server-error")
STEPS = {"query": "query", "metadata": "trust", "list": "fetch", "segment": "fetch", "patch": "fetch"}
OF_FILE = ("segment", "patch")
# A server without Range, with a wrong Content-Range, with a stale cache, switching files mid-way.
ALWAYS = [
    (Fault.STATUS_200, "segment"),
    (Fault.WRONG_START, "segment"),
    (Fault.WRONG_END, "segment"),
    (Fault.WRONG_TOTAL, "segment"),
    (Fault.STALE_CACHE, "query"),
    (Fault.STALE_CACHE, "metadata"),
    (Fault.STALE_CACHE, "segment"),
    (Fault.STALE_CACHE, "patch"),
    (Fault.ETAG_CHANGED, "segment"),
    (Fault.LAST_MODIFIED_CHANGED, "segment"),
]
RETRY_AFTER_SEC = {Fault.STATUS_429: 120, Fault.STATUS_503: 120}
# What fails at once, so that the time between first and last is what was waited on purpose.
PACED = (Fault.RST_BEFORE_STATUS, Fault.RST_MID_BODY, Fault.FIN_EARLY, Fault.STATUS_500)
PACE_MIN_SEC = 6  # of 31 on the average, with full jitter 15.5


def read_table(name, columns):
    with open(os.path.join(HERE, name), encoding="ascii") as file:
        for line in file:
            words = line.split("#")[0].split(None, columns - 1)
            if words:
                yield words


def read_expected():
    cells = {}
    for number, word, *ends in read_table("expected.txt", 8):
        assert by_word(number) is by_word(word), f"{number} is not {word}"
        for phase, end in zip(PHASES, ends):
            if end.strip() != "-":
                cells[by_word(word), phase] = end.strip()
    assert {fault for fault, _ in cells} == set(Fault)
    return cells


class Wrong(Exception):
    """A run did not do what it should."""


class Cells:
    def __init__(self, world, expected):
        self.world, self.expected = world, expected
        self.spans_sec = []
        self.told = []
        self.file_bytes = next(os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk(world.dir + "/site")
                               for name in names if name.endswith(f"{NEW}-amd64.tar.xz"))  # fmt: skip
        self.learn_trust()

    def learn_trust(self):
        """The metadata that a gateway trusts after an honest run, for cells that are about yesterday's."""
        self.begin()
        run = self.world.run_agent()
        if run.code != 0:
            raise RuntimeError(f"an honest run fails: {run.text}")
        shutil.copytree(self.world.dir + "/gateway/agent/metadata", self.world.dir + "/trusted")
        shutil.chown(self.world.dir + "/trusted", self.world.user.pw_uid, self.world.user.pw_gid)
        for name in os.listdir(self.world.dir + "/trusted"):
            os.chown(f"{self.world.dir}/trusted/{name}", self.world.user.pw_uid, self.world.user.pw_gid)

    # ---- runs ----

    def begin(self, metadata=None, base=OLD):
        self.world.renew_gateway(metadata, "template-base" if base == BASE else "template")
        self.base = base
        self.world.order("reset")
        for word in (Page.OFFSET, Page.ELSEWHERE):
            self.world.page[word] = 0

    def later(self):
        self.world.order("clear")
        self.world.page[Page.OFFSET] += DAY_SEC * SEC

    def run(self, limit_sec, through_proxy=False):
        run = self.world.run_agent(through_proxy)
        self.told.append(f"exit {run.code} after {run.virtual_sec:.1f} s ({run.real_sec:.2f}): {run.text.strip()}")
        if run.is_hung:
            raise Wrong(f"it hangs: {run.text}")
        if run.code < 0 or re.search("Sanitizer|runtime error", run.text) or run.code == 99:
            raise Wrong(f"it crashes, exit {run.code}: {run.text[-2000:]}")
        if run.virtual_sec > limit_sec:
            raise Wrong(f"it takes {run.virtual_sec:.0f} s, {limit_sec} s are allowed: {run.text}")
        if run.rss_bytes > RSS_MAX_BYTES and not self.world.is_asan:
            raise Wrong(f"it takes {run.rss_bytes >> 20} MiB of memory")
        if self.world.agent_bytes() > self.file_bytes + DISK_MARGIN_BYTES:
            raise Wrong(f"it takes {self.world.agent_bytes()} bytes of disk: {self.world.agent_files('inbox')}")
        if self.world.page[Page.ELSEWHERE] > 0:
            raise Wrong("it connects to another machine")
        log = self.world.order("log")
        if log["canaries"] > 0:
            raise Wrong("it connects where it was redirected to")
        return run, log

    # ---- judgements ----

    @staticmethod
    def reason_of(run, log, phase):
        """Reason and step, as the archive has them; of a query that failed, as the log has it."""
        failed = [r["body"] for r in log["results"].values() if r["body"]["outcome"] != "confirmed"]
        if failed:
            return failed[-1]["reason"], failed[-1]["step"]
        said = re.search(r"updaterd: query: .*\((\S+)\)$", run.text, re.M)
        return (said[1], "query") if said else ("none", "?")

    def check_failed(self, run, log, fault, phase, reason):
        got, step = self.reason_of(run, log, phase)
        if got != reason:
            raise Wrong(f"reason {got}, expected {reason}: {run.text.strip()}")
        if step != STEPS[phase]:
            raise Wrong(f"step {step}, expected {STEPS[phase]}")
        # A query server that answers something else than it should is not one that is down.
        is_temporary = reason in TEMPORARY and not (phase == "query" and fault == Fault.STATUS_204)
        code = 75 if is_temporary else 1
        if run.code != code:
            raise Wrong(f"exit {run.code}, expected {code}: {run.text.strip()}")
        if self.world.current() != self.base:
            raise Wrong(f"{self.world.current()} is current after a failure")

    def check_succeeded(self, run, log, is_delivered=True):
        if run.code != 0:
            raise Wrong(f"exit {run.code}: {run.text.strip()}")
        if self.world.current() != NEW or not self.world.is_installed_whole():
            raise Wrong(f"{self.world.current()} is current, or is not whole")
        if self.world.agent_files("inbox"):
            raise Wrong(f"left in the inbox: {self.world.agent_files('inbox')}")
        if not is_delivered:
            return
        if self.world.agent_files("outbox"):
            raise Wrong(f"left in the outbox: {self.world.agent_files('outbox')}")
        if sum(r["body"]["outcome"] == "confirmed" for r in log["results"].values()) != 1:
            raise Wrong(f"results: {[r['body']['outcome'] for r in log['results'].values()]}")

    def check_pace(self, fault, phase, log):
        hits = [q["t"] for q in log["requests"] if q["fault"]]
        if not hits:
            raise Wrong("the fault was never seen")
        if len(hits) > (ATTEMPTS * AT_ONCE if phase in OF_FILE else 2 * ATTEMPTS):
            raise Wrong(f"{len(hits)} requests against a wall")
        if fault in RETRY_AFTER_SEC:
            for before, after in zip(hits, hits[1:]):
                if 1 < after - before < RETRY_AFTER_SEC[fault] - 1:
                    raise Wrong(f"again after {after - before:.0f} s, told to wait {RETRY_AFTER_SEC[fault]}")
        if fault == Fault.FILE_404 and hits[-1] - hits[0] > 1:
            raise Wrong("a file that is gone is asked for again")
        if fault in PACED and phase == "segment":
            self.spans_sec.append(hits[-1] - hits[0])

    @staticmethod
    def check_resumed(requests):
        """Nothing that was received is asked for again, in this run or the next. Received is what was answered
        honestly before another request came over the same connection, and what came whole of a body that ended
        early. Returns how many such answers there were before the last failure."""
        kept, unread = [], {}
        for q in (q for q in requests if q["phase"] in OF_FILE and q["range"]):
            if q["connection"] in unread:
                kept.append(unread.pop(q["connection"]))
            first, last = (int(x) for x in q["range"][6:].split("-"))
            for path, have_first, have_last in kept:
                if path == q["path"] and first <= have_last and have_first <= last:
                    raise Wrong(f"bytes {first}-{last} are fetched again, {have_first}-{have_last} were there")
            if not q["fault"]:
                unread[q["connection"]] = (q["path"], first, last)
            elif q["sent"] >= SEGMENT_BYTES:
                kept.append((q["path"], first, first + q["sent"] // SEGMENT_BYTES * SEGMENT_BYTES - 1))
        return len(kept)

    # ---- one cell ----

    def arm(self, fault, phase, first=1, times=None):
        if fault == Fault.CLOCK_1970:
            self.world.page[Page.REALTIME_SHIFT] = -time.time_ns() + 60 * SEC
        self.world.order("arm", fault=fault.word, phase=phase, first=first, times=times)

    def play(self, fault, phase):
        end = self.expected[fault, phase]
        through_proxy = fault in (Fault.PROXY_407, Fault.PROXY_DIES)
        is_stale = (fault, phase) == (Fault.STALE_CACHE, "metadata")
        limit_sec = PHASE_MAX_SEC + (FETCH_TIMEOUT_SEC if phase in OF_FILE or end == "ok" else 0)
        self.begin(self.world.dir + "/trusted" if is_stale else None, BASE if phase == "patch" else OLD)
        has_begun = phase in OF_FILE and fault != Fault.STATUS_200
        self.arm(fault, phase, FIRST_SEGMENT_REQUEST if has_begun else 1)
        run, log = self.run(limit_sec, through_proxy)
        if phase == "patch" and not any(q["phase"] == phase and q["fault"] for q in log["requests"]):
            raise Wrong("the patch is fetched without the fault")
        if end == "ok":
            self.check_succeeded(run, log)
            self.check_resumed(log["requests"])
            return
        if end == "later":
            self.check_succeeded(run, log, is_delivered=False)
            if log["results"] and fault not in OF_CONNECTION and not self.world.agent_files("outbox"):
                raise Wrong("the result is not kept")
        else:
            self.check_failed(run, log, fault, phase, end)
        if fault not in (Fault.NXDOMAIN, Fault.SERVFAIL, Fault.CAPTIVE_PORTAL) and not self.is_silent(fault, phase):
            self.check_pace(fault, phase, log)
        self.later()
        before = self.check_resumed(log["requests"])
        run, log = self.run(PHASE_MAX_SEC + FETCH_TIMEOUT_SEC, through_proxy)
        self.check_succeeded(run, log)
        self.check_resumed(log["requests"])
        if has_begun and before == 0:
            raise Wrong("nothing was there to go on from")

    @staticmethod
    def is_silent(fault, phase):
        """Nothing of it reaches the server's log: it is in the connection's first moments."""
        return fault in OF_CONNECTION and phase in ("query", "metadata")

    # ---- schedules ----

    def make_schedule(self, rng):
        cells = [cell for cell in self.expected
                 if cell[0] not in (Fault.CLOCK_1970, Fault.STALE_CACHE)]  # fmt: skip
        schedule = []
        for fault, phase in rng.sample(cells, rng.randint(1, 4)):
            schedule.append((fault, phase, rng.randint(1, 8 if phase in OF_FILE else 2), rng.choice([1, 1, 2, 3, None])))
        return schedule

    def play_schedule(self, rng):
        """Several nights, each with faults of its own; then an honest one. Reasons must be among those of its faults."""
        nights = [self.make_schedule(rng) for _ in range(rng.randint(1, 3))]
        through_proxy = rng.random() < 0.3
        self.begin(base=rng.choice([OLD, BASE]))
        for night in nights:
            self.told.append("; ".join(f"{f.word} in {p} from {n}, {t or 'all'}" for f, p, n, t in night))
            for fault, phase, first, times in night:
                self.arm(fault, phase, first, times)
            known = len(self.world.order("log")["results"])
            run, log = self.run(5 * PHASE_MAX_SEC + FETCH_TIMEOUT_SEC, through_proxy)
            self.check_night(night, run, list(log["results"].values())[known:])
            self.later()
        run, log = self.run(PHASE_MAX_SEC + FETCH_TIMEOUT_SEC, through_proxy)
        self.check_succeeded(run, log)
        self.check_resumed(log["requests"])

    def check_night(self, night, run, results):
        if run.code not in (0, 1, 75):
            raise Wrong(f"exit {run.code}: {run.text.strip()}")
        allowed = {"none"}
        for fault, phase, _, _ in night:
            allowed.add(self.expected[fault, phase])
            if fault == Fault.STATUS_200:  # after others that were right
                allowed.add("file-changed")
            if fault in (Fault.ETAG_CHANGED, Fault.LAST_MODIFIED_CHANGED):  # from the first on
                allowed.add("segment-hash")
            if phase == "result" and fault in OF_CONNECTION:  # it is the query's as well
                allowed.add("network")
        reasons = {r["body"]["reason"] for r in results} | set(re.findall(r"query: .*\((\S+)\)$", run.text, re.M))
        # Results of the nights before may arrive now.
        self.reasons = getattr(self, "reasons", set()) | allowed
        if not reasons <= self.reasons:
            raise Wrong(f"reasons {reasons}, expected some of {self.reasons}: {run.text.strip()}")


# ---- what is run, and how it is told -----------------------------------------------------------------


class Count:
    def __init__(self):
        self.passed = self.failed = 0

    def tell(self, name, wrong, told=()):
        if wrong:
            self.failed += 1
            print(f"NOT OK  {name}: {wrong}")
            for line in told:
                print("    " + line.replace("\n", "\n    "))
        else:
            self.passed += 1
            print(f"ok      {name}")


def play(cells, count, cell, verbose=False):
    fault, phase = cell
    cells.told = []
    try:
        cells.play(fault, phase)
        wrong = None
    except Wrong as error:
        wrong = error
    count.tell(f"{int(fault):2} {fault.word} in {phase}", wrong, cells.told if verbose else ())
    if verbose:
        print("\n".join(cells.told))
        for q in cells.world.order("log")["requests"]:
            print(f"    {q['t']:.3f} {q['connection']:3} {q['method']} {q['path'][:40]} {q['range'] or ''} {q['fault'] or ''}")


def pick(expected, rng):
    """Every fault once that has not been played always, then the other cells."""
    cells = [cell for cell in expected if cell not in ALWAYS]
    rng.shuffle(cells)
    seen = {fault for fault, _ in ALWAYS}
    first = [cell for cell in cells if not (cell[0] in seen or seen.add(cell[0]))]
    return first + [cell for cell in cells if cell not in first]


def play_matrix(cells, count, options, rng):
    if options.seconds:
        for cell in ALWAYS:
            play(cells, count, cell)
        order = pick(cells.expected, rng)
    else:
        order = sorted(cells.expected, key=lambda c: (c[0], PHASES.index(c[1])))
    end = time.monotonic() + options.seconds if options.seconds else None
    for n, cell in enumerate(order):
        if end and time.monotonic() > end:
            print(f"{n} of the other {len(order)} cells in {options.seconds} s")
            break
        play(cells, count, cell)
    if len(cells.spans_sec) == len(PACED):
        mean = sum(cells.spans_sec) / len(PACED)
        count.tell(f"retries take their time: {mean:.1f} s on the average",
                   f"less than {PACE_MIN_SEC} s" if mean < PACE_MIN_SEC else None)  # fmt: skip


def play_random(cells, count, options):
    for n in range(options.random):
        rng = random.Random(f"{options.seed}/{n}")
        cells.told, cells.reasons = [], set()
        try:
            cells.play_schedule(rng)
            wrong = None
        except Wrong as error:
            wrong = error
        count.tell(f"schedule {options.seed}/{n}", wrong, cells.told)


def check_installer(world, count):
    with open(world.dir + "/installer.log", encoding="utf-8", errors="replace") as file:
        text = file.read()
    bad = re.search(r"(?s)\S*(Sanitizer|runtime error|signal).{0,2000}", text)
    count.tell("the installer is well", bad[0] if bad else None)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bin")
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--random", type=int, default=0)
    parser.add_argument("--cell")
    parser.add_argument("--seed", default=os.environ.get("FAULT_SEED") or str(random.SystemRandom().randrange(10**6)))
    options = parser.parse_args()
    expected, count = read_expected(), Count()
    print(f"FAULT_SEED={options.seed}")
    world = None
    try:
        world = World(options.bin)
        cells = Cells(world, expected)
        if options.cell:
            fault, phase = options.cell.split(":")
            play(cells, count, (by_word(fault), phase), verbose=True)
        elif options.random:
            play_random(cells, count, options)
        else:
            play_matrix(cells, count, options, random.Random(options.seed))
        check_installer(world, count)
    except RuntimeError as error:
        count.tell("server and gateway", error)
    finally:
        if world:
            world.close()
    print(f"{count.passed} passed, {count.failed} failed")
    sys.exit(count.failed > 0 or count.passed == 0)


if __name__ == "__main__":
    main()
