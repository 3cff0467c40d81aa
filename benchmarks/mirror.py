"""Measures a mirror's first and second run of many small packages against a bare downloader and conda-mirror, over loopback.

`python -m benchmarks.mirror [packages]`; conda-mirror joins in when CONDA_MIRROR names its command.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import http.server
import json
import os
import shutil
import socketserver
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import zstandard

from condahub.packages.maker import make_package
from mirrors_app.core.config import MirrorConfig
from mirrors_app.core.fetch import FetchSettings
from mirrors_app.core.folder import FolderTarget
from mirrors_app.core.run import RunReport, sync
from mirrors_app.core.ssrf import make_guard

PACKAGES = 5_000
CONTENT_BYTES = 3_800
CONNECTIONS = 32
SUBDIR = "linux-64"
# As large public channels have them.
RECORDS_A_NAME = 24


def make_channel(folder: Path, count: int) -> dict[str, dict[str, Any]]:
    """`count` packages of about 5 KB and their index; the records."""
    records = {}
    for number in range(count):
        name, version = f"package{number // RECORDS_A_NAME}", f"1.{number % RECORDS_A_NAME}"
        path = make_package(folder / SUBDIR, name, version, subdir=SUBDIR, files={"share/content": os.urandom(CONTENT_BYTES)})
        data = path.read_bytes()
        records[path.name] = {
            "name": name,
            "version": version,
            "build": "0",
            "build_number": 0,
            "depends": [],
            "subdir": SUBDIR,
            "size": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "md5": hashlib.md5(data).hexdigest(),
        }
    text = json.dumps({"info": {"subdir": SUBDIR}, "packages": {}, "packages.conda": records, "removed": []}).encode()
    (folder / SUBDIR / "repodata.json").write_bytes(text)
    (folder / SUBDIR / "repodata.json.zst").write_bytes(zstandard.compress(text))
    return records


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The folder over HTTP: by nginx where it is installed, else by a child process."""
    with socketserver.TCPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as free:
        port = free.server_address[1]
    nginx = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    if nginx is None:
        command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(folder)]
    else:
        work = Path(tempfile.mkdtemp())
        (work / "nginx.conf").write_text(
            f"daemon off; worker_processes 1; pid {work}/pid; error_log {work}/error; {'user root;' if os.getuid() == 0 else ''}"
            "events { worker_connections 512; }"
            f"http {{ access_log off; sendfile on; keepalive_requests 100000; client_body_temp_path {work}/a; proxy_temp_path {work}/b;"
            f" fastcgi_temp_path {work}/c; uwsgi_temp_path {work}/d; scgi_temp_path {work}/e;"
            f" server {{ listen 127.0.0.1:{port}; root {folder}; }} }}"
        )
        command = [nginx, "-c", str(work / "nginx.conf")]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.terminate()
        server.wait()


async def bare(url: str, folder: Path, records: dict[str, dict[str, Any]]) -> None:
    """What a downloader without any care but sha256 does, with as many connections; not synced to the disk."""
    folder.mkdir(parents=True)
    waiting = iter(records.items())
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as session:

        async def work() -> None:
            for filename, record in waiting:
                async with session.get(f"{url}{SUBDIR}/{filename}") as response:
                    data = await response.read()
                assert hashlib.sha256(data).hexdigest() == record["sha256"]
                (folder / filename).write_bytes(data)

        await asyncio.gather(*(work() for _ in range(CONNECTIONS)))


def ours(url: str, folder: Path) -> RunReport:
    """One run of the mirror into a folder: verified, inspected, journalled, durable, indexed."""
    fetch = FetchSettings(connections_per_host=CONNECTIONS, guard=make_guard(networks=["127.0.0.0/8"]))
    config = MirrorConfig(upstreams=(url,), subdirs=(SUBDIR,), fetch=fetch)
    with FolderTarget(folder) as target:
        report = asyncio.run(sync(config, target))
    assert report.status == "ok", report.sentence()
    return report


def seconds(what: str, call: Any, count: int) -> float:
    os.sync()
    started = time.perf_counter()
    call()
    taken = time.perf_counter() - started
    print(f"{what:<44}{taken:8.2f} s{count / taken:10.0f} a second")
    return taken


def main() -> None:
    """Print the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else PACKAGES
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        records = make_channel(root / "upstream", count)
        with serving(root / "upstream") as url:
            # Twice, so that neither has the warmer caches.
            for lap in range(2):
                theirs, mirrored = root / f"bare{lap}", root / f"ours{lap}"
                plain = seconds("bare aiohttp, sha256, not durable", partial(asyncio.run, bare(url, theirs, records)), count)
                mine = seconds("condahub mirror, durable", partial(ours, url, mirrored), count)
                print(f"  of the bare one: {plain / mine:.2f}")
            seconds("condahub mirror again, nothing changed", lambda: ours(url, root / "ours1"), count)
            if command := os.environ.get("CONDA_MIRROR"):
                arguments = ["--upstream-channel", url.rstrip("/"), "--target-directory", str(root / "theirs"), "--platform", SUBDIR]
                other = seconds("conda-mirror", lambda: subprocess.run([command, *arguments, "--no-progress"], check=True), count)
                print(f"  condahub is {other / mine:.1f} times as fast")


if __name__ == "__main__":
    main()
