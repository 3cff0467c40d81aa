"""Runs of a folder mirror over an index of the largest size, in a process of its own: seconds, peak memory, what they found.

`python -m benchmarks.mirror_large make FOLDER COUNT`, `... change FOLDER`, `... run URL FOLDER RUNS`. The packages themselves
do not exist: the target vouches for them, so that what is measured is the index.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
import orjson
import zstandard

from benchmarks.big_records import records
from benchmarks.processes import peak_bytes
from mirrors_app.core.config import MirrorConfig
from mirrors_app.core.fetch import FetchSettings
from mirrors_app.core.folder import FolderTarget
from mirrors_app.core.journal import Held
from mirrors_app.core.records import UpstreamRecord
from mirrors_app.core.run import sync
from mirrors_app.core.ssrf import make_guard
from mirrors_app.core.upstream import FILES

SUBDIR = "linux-64"
CHANGED_RECORDS = 500
CHANGED_NAMES = 300
VOUCHED_FILES = 20_000


class VouchingTarget(FolderTarget):
    """A folder that says of each package that it is there."""

    def holds(self, records: Sequence[UpstreamRecord]) -> Collection[tuple[str, str]]:
        # Piece by piece, as a run notes what it has downloaded.
        for start in range(0, len(records), VOUCHED_FILES):
            for one in records[start : start + VOUCHED_FILES]:
                found = one.columns
                row = Held(*one.key, found.sha256 or "", found.md5 or "", one.size, b"{}", False)
                self._unsettled[row[:3]] = row
            self.settle()
        return {one.key for one in records}


def make(folder: Path, count: int) -> None:
    """An upstream's index of `count` records in each of its forms."""
    _write(folder, dict(records(count, subdir=SUBDIR)))


def change(folder: Path) -> None:
    """500 of its records, of 300 names, get other metadata."""
    document = orjson.loads((folder / SUBDIR / "repodata.json").read_bytes())
    tables = {**document["packages"], **document["packages.conda"]}
    names = sorted({one["name"] for one in tables.values()})
    chosen = set(names[:: max(len(names) // CHANGED_NAMES, 1)][:CHANGED_NAMES])
    fresh = [one for one in tables.values() if one["name"] in chosen]
    for table in fresh[:: max(len(fresh) // CHANGED_RECORDS, 1)][:CHANGED_RECORDS]:
        table["license"] = f"{table['license']} AND changed"
    _write(folder, tables)


def _write(folder: Path, tables: dict[str, dict[str, Any]]) -> None:
    (folder / SUBDIR / "shards").mkdir(parents=True, exist_ok=True)
    sections: dict[str, dict[str, Any]] = {"packages": {}, "packages.conda": {}}
    for filename, table in tables.items():
        sections["packages.conda" if filename.endswith(".conda") else "packages"][filename] = table
    text = orjson.dumps({"info": {"subdir": SUBDIR}, **sections, "removed": [], "repodata_version": 1})
    (folder / SUBDIR / "repodata.json").write_bytes(text)
    (folder / SUBDIR / "repodata.json.zst").write_bytes(zstandard.compress(text))
    shards = {}
    by_name = sorted(tables.items(), key=lambda item: (item[1]["name"], item[0]))
    for name, items in groupby(by_name, key=lambda item: str(item[1]["name"])):
        shard: dict[str, Any] = {"packages": {}, "packages.conda": {}, "removed": []}
        for filename, table in items:
            raw = {**table, "md5": bytes.fromhex(table["md5"]), "sha256": bytes.fromhex(table["sha256"])}
            shard["packages.conda" if filename.endswith(".conda") else "packages"][filename] = raw
        payload = zstandard.compress(msgspec.msgpack.encode(shard))
        shards[name] = hashlib.sha256(payload).digest()
        path = folder / SUBDIR / "shards" / f"{shards[name].hex()}.msgpack.zst"
        if not path.exists():
            path.write_bytes(payload)
    info = {"base_url": "", "shards_base_url": "./shards/", "subdir": SUBDIR, "created_at": "2026-01-01T00:00:00Z"}
    index = zstandard.compress(msgspec.msgpack.encode({"version": 1, "info": info, "shards": shards}))
    (folder / SUBDIR / "repodata_shards.msgpack.zst").write_bytes(index)


def run(url: str, folder: Path, runs: int) -> dict[str, Any]:
    """`runs` runs one after the other, as a worker that goes on running makes them; seconds of each, and until its shards were shown."""
    fetch = FetchSettings(guard=make_guard(networks=["127.0.0.0/8"]))
    config = MirrorConfig(upstreams=(url,), subdirs=(SUBDIR,), fetch=fetch)
    found: dict[str, Any] = {"seconds": [], "shards_seconds": [], "changed": [], "added": []}
    shards = folder / SUBDIR / FILES["shards"]
    with VouchingTarget(folder) as target:
        for _ in range(runs):
            began, started = time.time(), time.perf_counter()
            report = asyncio.run(sync(replace(config), target, depth="identity"))
            found["seconds"].append(time.perf_counter() - started)
            # When it was put into its place.
            found["shards_seconds"].append(shards.stat().st_ctime - began)
            assert report.status == "ok", report.sentence()
            found["changed"].append(len(report.changed))
            found["added"].append(len(report.added))
    return {**found, "peak_bytes": peak_bytes()}


def main() -> None:
    """Do one of the three and print what was found as a line of JSON."""
    word, *rest = sys.argv[1:]
    if word == "make":
        make(Path(rest[0]), int(rest[1]))
    elif word == "change":
        change(Path(rest[0]))
    else:
        print(json.dumps(run(rest[0], Path(rest[1]), int(rest[2]))))


if __name__ == "__main__":
    main()
