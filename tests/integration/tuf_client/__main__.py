# SPDX-License-Identifier: Apache-2.0
"""The client program against a simulated repository: python3 tuf_client PROGRAM DIRECTORY [PART OF A NAME]

Prints "ok      NAME" or "NOT OK  NAME: WHY" for each case, and "cases: N" when it is through.
"""
import concurrent.futures
import importlib
import os
import pathlib
import sys
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "lib"))

from bed import CASES, Bed, Wrong  # noqa: E402
from tuf_simulator import Server  # noqa: E402

MODULES = ("start", "files", "versions", "keys", "delegations", "artifacts")


def run(name, function, number, program, server, top):
    directory = pathlib.Path(top) / str(number)
    directory.mkdir()
    bed = Bed(program, server, directory)
    try:
        function(bed)
    except (Wrong, AssertionError) as e:
        return f"NOT OK  {name}: {e}"
    except Exception:  # pylint: disable=broad-except
        return f"NOT OK  {name}: {traceback.format_exc()}"
    return f"ok      {name}"


def main():
    program, top = sys.argv[1:3]
    for module in MODULES:
        importlib.import_module("cases_" + module)
    wanted = sys.argv[3] if len(sys.argv) > 3 else ""
    cases = [c for c in CASES if wanted in c[0]]
    server = Server()
    with concurrent.futures.ThreadPoolExecutor(2 * (os.cpu_count() or 1)) as pool:
        jobs = [pool.submit(run, *c, i, program, server, top) for i, c in enumerate(cases)]
        for job in jobs:
            # A case is one line, whatever is in its name.
            print(ascii(job.result())[1:-1] if not job.result().isprintable() else job.result(), flush=True)
    print(f"cases: {len(cases)}")


if __name__ == "__main__":
    main()
