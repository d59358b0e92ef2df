# SPDX-License-Identifier: Apache-2.0
"""Plays a chapter of docs/KEYS.md: python3 keys_book BOOK chapters
                                    python3 keys_book BOOK play CHAPTER DIRECTORY PROGRAMS

CHAPTER is the anchor of its heading. DIRECTORY holds a directory for each machine; PROGRAMS comes first in
PATH. Each block runs on a terminal of its own, on which passphrases are typed; where it prints what the
`text` block after it does not say, or fails, the exit status is 1.
"""
import os
import pathlib
import pty
import re
import select
import signal
import sys

BLOCK_SEC = 60
FENCE = re.compile(r"^```(\w*) ?(.*)$")
# The book's paths, and where they are here.
TOP = re.compile(r"(?<![\w./])/(media/stick|media|srv|etc|tmp)(?=/|\s|$|\")")
PROMPT = re.compile(rb"(?:Passphrase of the (?:new key|key|new keys)(?: '[^'\n]*')?|The same again): \Z")


class Block:
    def __init__(self, line, machine):
        self.line, self.machine, self.text, self.expected = line, machine, "", []


def anchor(heading):
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def read_book(path):
    """{anchor: [Block]}, with chapters that have nothing to run."""
    chapters, blocks, inside = {}, [], None
    for number, line in enumerate(pathlib.Path(path).read_text(encoding="utf-8").splitlines(), 1):
        fence = FENCE.match(line)
        if inside is not None and line != "```":
            if inside == "sh":
                blocks[-1].text += line + "\n"
            else:
                blocks[-1].expected.append(line)
        elif inside is not None:
            inside = None
        elif fence:
            inside = fence[1]
            machine = re.fullmatch(r"machine=([a-z-]+)", fence[2])
            if inside == "sh" and machine:
                blocks.append(Block(number, machine[1]))
            elif inside != "text" or fence[2] or not blocks or blocks[-1].expected:
                sys.exit(f"{path}:{number}: neither a block for a machine nor what one prints")
        elif line.startswith("## "):
            blocks = chapters.setdefault(anchor(line[3:]), [])
    return chapters


class Player:
    def __init__(self, directory, programs):
        self.directory, self.programs = directory, programs

    def place(self, machine, top):
        if top == "media/stick":
            return f"{self.directory}/stick"
        return f"{self.directory}/{machine}/{top}"

    def script(self, block):
        return TOP.sub(lambda m: self.place(block.machine, m[1]), block.text)

    def as_in_the_book(self, machine, output):
        for top in ("media/stick", "media", "srv", "etc", "tmp"):
            output = output.replace(self.place(machine, top), "/" + top)
        return output

    def home(self, machine):
        home = pathlib.Path(self.directory, machine)
        for top in ("media/alice", "media/bob", "media/carol", "srv/bms", "etc/updaterd", "tmp"):
            (home / top).mkdir(parents=True, exist_ok=True)
        return home / "srv/bms" if machine == "release" else home

    def play(self, block):
        """The exit status and what was printed."""
        home = self.home(block.machine)
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(home)
            os.environ.update(HOME=str(home), PATH=f"{self.programs}:{os.environ['PATH']}", MACHINE=block.machine)
            os.execvp("bash", ["bash", "-euo", "pipefail", "-c", self.script(block)])
        signal.alarm(BLOCK_SEC)
        output = self.talk(terminal)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        signal.alarm(0)
        return status, self.as_in_the_book(block.machine, output)

    def talk(self, terminal):
        output, answered = b"", 0
        while True:
            select.select([terminal], [], [])
            try:
                part = os.read(terminal, 65536)
            except OSError:
                part = b""
            if not part:
                return output.decode().replace("\r\n", "\n")
            output += part
            if PROMPT.search(output[answered:]):
                answered = len(output)
                os.write(terminal, self.passphrase().encode() + b"\n")

    def passphrase(self):
        """Everybody has their own: the key that the last command names says whose is asked for."""
        words = pathlib.Path(self.directory, "last").read_text(encoding="utf-8").split()
        names = [re.sub(r"\.pem$", "", w).rsplit("/", 1)[-1] for w in words]
        people = [n.split("-")[0] for n in names if re.match(r"(alice|bob|carol|battery|gateway)-", n)]
        return f"the passphrase of {people[-1] if people else 'nobody'}"


def missing_line(output, expected):
    """The first line of the book that was not printed after the ones before it."""
    lines = iter(output.splitlines())
    for wanted in expected:
        pattern = re.compile(".*".join(map(re.escape, wanted.split("…"))))
        if not any(pattern.fullmatch(line) for line in lines):
            return wanted
    return None


def play_chapter(book, chapter, directory, programs):
    blocks = read_book(book)[chapter]
    player = Player(directory, programs)
    for block in blocks:
        status, output = player.play(block)
        missing = missing_line(output, block.expected)
        if status != 0 or missing is not None:
            why = f"exit status {status}" if status != 0 else f"did not print '{missing}'"
            print(f"{output}{book}:{block.line} on {block.machine}: {why}")
            return 1
    return 0 if blocks else 1


def main():
    book, what = sys.argv[1:3]
    if what == "play":
        sys.exit(play_chapter(book, *sys.argv[3:6]))
    for chapter, blocks in read_book(book).items():
        if blocks:
            print(chapter)


if __name__ == "__main__":
    main()
