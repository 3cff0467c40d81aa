"""Mirroring: many small packages against a bare downloader and conda-mirror, and an index of the largest size, over loopback."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import zstandard

from benchmarks import conda_mirror
from benchmarks.report import Row, at_most, noted
from benchmarks.servers import NoNginx, running
from benchmarks.workshop import Workshop
from condahub.ops.roles import HOME
from condahub.ops.supervise import any_free_port
from condahub.packages.maker import make_package
from mirrors_app.core.config import MirrorConfig
from mirrors_app.core.fetch import FetchSettings
from mirrors_app.core.folder import FolderTarget
from mirrors_app.core.run import RunReport, sync
from mirrors_app.core.ssrf import make_guard

TITLE = "mirroring into a folder"
PACKAGES = 5_000
QUICK_PACKAGES = 500
LEAST_SHARE = 0.8
LEAST_TIMES = 6.0
NO_CHANGE_SECONDS = 0.05
INGEST_SECONDS = 30.0
INGEST_MIB = 1024.0
CHANGED_SECONDS = {"shards": 2.0, "zst": 8.0}
LARGE_STEP_SECONDS = 1800
MIB = 1024**2
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
def serving(folder: Path, extra: str = "") -> Iterator[str]:
    """The folder over HTTP by nginx. extra: more of its server's configuration. Raises NoNginx."""
    port = any_free_port()
    nginx = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    if nginx is None:
        raise NoNginx("nginx is missing: `apt-get install nginx`")
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        (work / "nginx.conf").write_text(
            f"daemon off; worker_processes 1; pid {work}/pid; error_log {work}/error; {'user root;' if os.getuid() == 0 else ''}"
            "events { worker_connections 512; }"
            f"http {{ access_log off; sendfile on; keepalive_requests 100000; client_body_temp_path {work}/a; proxy_temp_path {work}/b;"
            f" fastcgi_temp_path {work}/c; uwsgi_temp_path {work}/d; scgi_temp_path {work}/e;"
            f" server {{ listen 127.0.0.1:{port}; root {folder}; {extra} }} }}"
        )
        command = [nginx, "-c", str(work / "nginx.conf")]
        with running(command, port=port, environment={}, log=work / "log") as url:
            yield f"{url}/"


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
    """One run of the mirror into a folder: verified, identified, journalled, durable, indexed."""
    fetch = FetchSettings(connections_per_host=CONNECTIONS, guard=make_guard(networks=["127.0.0.0/8"]))
    config = MirrorConfig(upstreams=(url,), subdirs=(SUBDIR,), fetch=fetch)
    with FolderTarget(folder) as target:
        report = asyncio.run(sync(config, target, depth="identity"))
    assert report.status == "ok", report.sentence()
    return report


def run(shop: Workshop) -> Iterator[Row]:
    """The small packages, then the large index."""
    root = shop.folder / "mirror"
    count = QUICK_PACKAGES if shop.quick else PACKAGES
    shop.say(f"mirror: making {count:,} packages")
    records = make_channel(root / "upstream", count)
    with serving(root / "upstream") as url:
        yield from _small(shop, root, url, records)
    yield from _large(shop, root)


def _small(shop: Workshop, root: Path, url: str, records: dict[str, dict[str, Any]]) -> Iterator[Row]:
    plain, mine, count = [], [], len(records)
    # In turn, so that what else the machine does meets both.
    for lap in range(shop.rounds):
        shop.say(f"mirror: round {lap + 1}")
        theirs, mirrored = root / f"bare{lap}", root / f"ours{lap}"
        plain.append(seconds(lambda folder=theirs: asyncio.run(bare(url, folder, records))))
        mine.append(seconds(lambda folder=mirrored: ours(url, folder)))
    yield noted("bare aiohttp with sha256, 32 connections, not durable", f"{median(plain):.2f} s", f"{count / median(plain):,.0f}/s")
    share = median(one / other for one, other in zip(plain, mine, strict=True))
    yield Row(
        f"{count:,} packages of 5 KB, verified and durable",
        f"{median(mine):.2f} s ({count / median(mine):,.0f}/s)",
        f">= {LEAST_SHARE} of the bare one",
        f"{share:.2f}",
        None if shop.quick else share >= LEAST_SHARE,
    )
    again = median(seconds(lambda: ours(url, root / "ours0")) for _ in range(shop.rounds))
    yield noted("again, nothing changed", f"{again * 1000:.0f} ms")
    try:
        command = conda_mirror.installed()
    except conda_mirror.NoCondaMirror as error:
        yield Row(f"conda-mirror not measured: {error}", "", met=False)
        return
    shop.say("mirror: conda-mirror")
    other = seconds(lambda: conda_mirror.mirror(command, url, root / "theirs", subdir=SUBDIR))
    times = other / median(mine)
    yield Row(
        f"{conda_mirror.REQUIREMENT}, the same packages",
        f"{other:.1f} s",
        f"condahub >= {LEAST_TIMES:.0f} times as fast",
        f"{times:.1f}",
        None if shop.quick else times >= LEAST_TIMES,
    )


def _large(shop: Workshop, root: Path) -> Iterator[Row]:
    """First ingest, no change and 500 changed records, over each form of the index; each in processes of its own."""
    shop.say(f"mirror: an index of {shop.most:,} records")
    upstream, size = root / "large", f"{shop.most:,} records"
    _step("make", str(upstream), str(shop.most))
    forms = {"shards": "", "zst": "location ~ shards { return 404; }"}
    with contextlib.ExitStack() as stack:
        urls = {form: stack.enter_context(serving(upstream, extra)) for form, extra in forms.items()}
        for form, url in urls.items():
            shop.say(f"mirror: first ingest over {form}")
            found = _step("run", url, str(root / f"large-{form}"), "3")
            first, *unchanged = found["seconds"]
            yield at_most(f"first ingest over {form}, {size}", first, INGEST_SECONDS, "s", binding=not shop.quick)
            yield at_most(f"its peak memory, {form}", found["peak_bytes"] / MIB, INGEST_MIB, "MiB", binding=not shop.quick)
            # The conditional GET is in it.
            yield at_most(f"nothing changed, {form}", min(unchanged) * 1000, NO_CHANGE_SECONDS * 1000, "ms")
        _step("change", str(upstream))
        for form, url in urls.items():
            found = _step("run", url, str(root / f"large-{form}"), "1")
            changed, peak = f"{found['changed'][0]} changed records", f"{found['peak_bytes'] / MIB:,.0f} MiB"
            shown, all_of_it = found["shards_seconds"][0], found["seconds"][0]
            # Clients that ask for shards have them then; the files that list everything follow.
            if form == "shards":
                yield at_most(f"{changed} planned and shown in shards", shown, CHANGED_SECONDS[form], "s", more=peak)
                yield noted("until every other file of the index shows them too", f"{all_of_it:.1f} s")
            else:
                yield at_most(f"{changed} planned and shown in every file, over {form}", all_of_it, CHANGED_SECONDS[form], "s", more=peak)


def _step(*words: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.mirror_large", *words]
    done = subprocess.run(command, cwd=HOME, stdout=subprocess.PIPE, check=True, timeout=LARGE_STEP_SECONDS)
    found: dict[str, Any] = json.loads(done.stdout or b"{}")
    return found


def seconds(call: Callable[[], object]) -> float:
    """How long it takes, begun with nothing left to be written to the disk."""
    os.sync()
    started = time.perf_counter()
    call()
    return time.perf_counter() - started
