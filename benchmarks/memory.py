"""Memory: what indexing takes at its peak, and what an upload adds to the process that receives it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from benchmarks.clients import Client
from benchmarks.packages import write_large_package
from benchmarks.processes import MemoryWatch, children_of
from benchmarks.report import Row, at_most, noted
from benchmarks.workshop import LARGE_FILES, Workshop
from tests.hub import start_hub

TITLE = "memory"
INDEX_LIMIT_MIB = 700
UPLOAD_LIMIT_MIB = 64
UPLOAD_BYTES = 2 * 1024**3
QUICK_UPLOAD_BYTES = 512 * 1024**2
MIB = 1024**2


def run(shop: Workshop) -> Iterator[Row]:
    """Each step of the index ran in a process of its own, whose peak is read when it is done."""
    found = shop.found_while_filling(shop.most)
    for step, what in (("publish", "stage 1"), *((kind, kind) for kind in LARGE_FILES)):
        peak = found[step]["peak_bytes"] / MIB
        yield at_most(f"{what} of {shop.most:,} records, peak of the process", peak, INDEX_LIMIT_MIB, "MiB", binding=not shop.quick)
    yield from _upload(shop)


def _upload(shop: Workshop) -> Iterator[Row]:
    size = QUICK_UPLOAD_BYTES if shop.quick else UPLOAD_BYTES
    path = shop.folder / "upload-1.0-0.conda"
    shop.say(f"uploading {size / MIB:,.0f} MiB")
    write_large_package(path, size)
    sha256 = _sha256_of(path)
    with start_hub(shop.folder / "upload", CONDAHUB_WEB_WORKERS="1") as hub, Client(hub.url, hub.admin_token) as client:
        (web,) = children_of(hub.pids()["web"])
        client.post_json("/api/channels", {"name": "large", "private": True}).expect(201)
        # What a process takes for its first upload of any size is no matter of this one's size.
        small = shop.folder / "warm-1.0-0.conda"
        write_large_package(small, 1)
        _send(client, small, _sha256_of(small))
        with MemoryWatch([web]) as watch:
            seconds = _send(client, path, sha256)
    path.unlink()
    actual = size / MIB
    grown = watch.grown[web] / MIB
    yield at_most(f"an upload of {actual:,.0f} MiB adds to the web process", grown, UPLOAD_LIMIT_MIB, "MiB", binding=not shop.quick)
    yield noted("the same upload, until it is acknowledged", f"{seconds:.1f} s ({actual / seconds:,.0f} MiB/s)")


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _send(client: Client, path: Path, sha256: str) -> float:
    with path.open("rb") as file:
        return client.request("POST", f"/api/channels/large/upload/{path.name}?sha256={sha256}", file).expect(201).seconds
