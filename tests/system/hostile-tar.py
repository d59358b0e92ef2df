#!/usr/bin/env python3
"""Makes a tar of a release with one thing wrong: hostile-tar.py KIND VERSION ARCH OUTPUT"""
import hashlib
import json
import sys
import tarfile


def header(name, kind=tarfile.REGTYPE, mode=0o644, size=0, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.size, info.linkname = kind, mode, size, link
    return info


def ustar(info):
    """The header as the release tool writes it: device numbers are zeros, not blanks."""
    block = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    block[329:345] = b"0000000\0" * 2
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def main():
    kind, version, arch, output = sys.argv[1:]
    content = b"#!/bin/sh\nexit 0\n"
    files = {"bin/bmsd": (0o755, content)}
    manifest = {
        "_type": "release", "spec_version": 1, "program": version[0], "version": version, "arch": arch,
        "files": [{"path": path, "mode": "%04o" % mode, "size": len(data),
                   "sha256": hashlib.sha256(data).hexdigest()} for path, (mode, data) in files.items()],
    }
    release = (json.dumps(manifest, separators=(",", ":")) + "\n").encode()
    members = [(header("release.json", size=len(release)), release),
               (header("bin/bmsd", mode=0o755, size=len(content)), content)]
    bad = {
        "escape": (header("../../../etc/cron.d/evil", size=len(content)), content),
        "absolute": (header("/etc/cron.d/evil", size=len(content)), content),
        "symlink": (header("bin/sh", tarfile.SYMTYPE, link="/bin/sh"), b""),
        "hardlink": (header("bin/passwd", tarfile.LNKTYPE, link="/etc/passwd"), b""),
        "setuid": (header("bin/su", mode=0o4755, size=len(content)), content),
        "device": (header("dev/mem", tarfile.CHRTYPE), b""),
        "extra": (header("bin/extra", mode=0o755, size=len(content)), content),
    }[kind]
    members.append(bad)
    with open(output, "wb") as out:
        for info, data in members:
            out.write(ustar(info))
            out.write(data + b"\0" * (-len(data) % 512))
        out.write(b"\0" * 1024)


main()
