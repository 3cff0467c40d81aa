"""A hub of its own under steady load for SOAK_MINUTES (10): uploads and downloads by turns; prints errors and memory, and fails on either.

Bounded: it stops by itself, and talks to 127.0.0.1 only.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from condahub.packages.maker import make_package
from tests.hub import RunningHub, start_hub

PAUSE_SECONDS = 0.05
REPORT_SECONDS = 30
# What the processes may grow by after the first report, in all.
GROWTH_LIMIT_BYTES = 200 * 1024**2
CHANNEL = "soak"


@dataclass
class Tally:
    """What happened so far."""

    uploads: int = 0
    downloads: int = 0
    slowest_seconds: float = 0.0
    faults: list[str] = field(default_factory=list)


def resident_bytes(hub: RunningHub) -> int:
    """The resident memory of all processes of the hub together."""
    groups = set(hub.pids().values())
    total = 0
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[2]) in groups:
            total += int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
    return total


def one_round(client: httpx.Client, number: int, folder: Path, tally: Tally) -> None:
    """Publish one package and read it, and the index, back."""
    path = make_package(folder, name=f"soak-{number % 50}", version=f"1.{number}")
    package = path.read_bytes()
    digest = hashlib.sha256(package).hexdigest()
    for method, address, content in (
        ("POST", f"/api/channels/{CHANNEL}/upload/{path.name}?sha256={digest}", package),
        ("GET", f"/channels/{CHANNEL}/noarch/{path.name}", None),
        ("GET", f"/channels/{CHANNEL}/noarch/repodata_shards.msgpack.zst", None),
    ):
        begun = time.monotonic()
        try:
            answer = client.request(method, address, content=content)
            if not answer.is_success:
                tally.faults.append(f"{method} {address}: {answer.status_code} {answer.text[:200]}")
        except httpx.HTTPError as error:
            tally.faults.append(f"{method} {address}: {type(error).__name__}")
        tally.slowest_seconds = max(tally.slowest_seconds, time.monotonic() - begun)
        tally.uploads += method == "POST"
        tally.downloads += method == "GET"
    path.unlink()


def main() -> int:
    """Run it; 0 when there was no fault and memory stayed."""
    minutes = float(os.environ.get("SOAK_MINUTES", "10"))
    tally = Tally()
    first_bytes = 0
    with tempfile.TemporaryDirectory() as folder, start_hub(Path(folder) / "hub") as hub:
        with httpx.Client(base_url=hub.url, headers=hub.headers, timeout=30) as client:
            client.post("/api/channels", json={"name": CHANNEL, "private": True}).raise_for_status()
            end = time.monotonic() + minutes * 60
            report_at = time.monotonic() + REPORT_SECONDS
            number = 0
            while time.monotonic() < end:
                one_round(client, number, Path(folder), tally)
                number += 1
                if time.monotonic() > report_at:
                    report_at += REPORT_SECONDS
                    now_bytes = resident_bytes(hub)
                    first_bytes = first_bytes or now_bytes
                    print(
                        f"{tally.uploads} uploads, {tally.downloads} downloads, slowest {tally.slowest_seconds:.2f} s, "
                        f"{now_bytes / 1024**2:.0f} MB, {len(tally.faults)} faults",
                        flush=True,
                    )
                time.sleep(PAUSE_SECONDS)
        grown = resident_bytes(hub) - first_bytes if first_bytes else 0
    for fault in tally.faults[:20]:
        print(fault)
    print(f"{tally.uploads} uploads, {tally.downloads} downloads, {len(tally.faults)} faults, memory grew by {grown / 1024**2:.0f} MB")
    return 1 if tally.faults or grown > GROWTH_LIMIT_BYTES else 0


if __name__ == "__main__":
    sys.exit(main())
