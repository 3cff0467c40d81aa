"""What the maker makes is the same every time and is a package to a client this project did not write."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from condahub.packages.reader import read_package
from tests.makers import make_package

EXTENSIONS = [".conda", ".tar.bz2"]

# In a process of its own: rattler must never be loaded where tests fork, and may crash at exit after it succeeded.
INSTALL = """
import asyncio, json, os, sys
from pathlib import Path
from rattler import RepoDataRecord, install
async def main(prefix, *paths):
    records = []
    for path in map(Path, paths):
        record = await RepoDataRecord.from_package_archive(path)
        records.append(record)
    await install(records=records, target_prefix=prefix, cache_dir=prefix + ".cache", show_progress=False)
    print(json.dumps([[r.name.normalized, str(r.version), str(r.build), str(r.subdir), r.sha256.hex()] for r in records]))
asyncio.run(main(*sys.argv[1:]))
sys.stdout.flush()
os._exit(0)
"""


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_the_same_arguments_give_the_same_bytes(tmp_path: Path, extension: str) -> None:
    made = [make_package(tmp_path / at, depends=["a"], run_exports=["demo"], extension=extension).read_bytes() for at in "ab"]
    assert made[0] == made[1]
    assert make_package(tmp_path / "c", depends=["b"], extension=extension).read_bytes() != made[0]


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize("subdir", ["noarch", "linux-64"])
def test_the_reader_takes_it(tmp_path: Path, extension: str, subdir: str) -> None:
    path = make_package(tmp_path, "made", "2.5", "h1_3", 3, subdir, extension=extension)
    told = read_package(path, filename=path.name)
    assert (told.filename.stem, told.build_number, told.subdir) == ("made-2.5-h1_3", 3, subdir)
    assert told.index["arch"] == ("x86_64" if subdir == "linux-64" else None)


@pytest.mark.real
def test_rattler_installs_it(tmp_path: Path) -> None:
    made = [
        make_package(tmp_path, "one", files={"share/one": b"1", "bin/one": b"#!/bin/sh\n"}, links={"share/link": "one"}),
        make_package(tmp_path, "two", subdir="linux-64", files={"share/two": b"22"}, extension=".tar.bz2"),
    ]
    prefix = tmp_path / "env"
    done = subprocess.run(
        [sys.executable, "-c", INSTALL, str(prefix), *map(str, made)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [
        ["one", "1.0", "0", "noarch", hashlib.sha256(made[0].read_bytes()).hexdigest()],
        ["two", "1.0", "0", "linux-64", hashlib.sha256(made[1].read_bytes()).hexdigest()],
    ]
    assert (prefix / "share/one").read_bytes() == b"1"
    assert (prefix / "share/link").read_bytes() == b"1"
    assert (prefix / "bin/one").stat().st_mode & 0o111
    assert (prefix / "share/two").read_bytes() == b"22"
