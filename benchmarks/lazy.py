"""A lazy proxy: what the first demand for a package costs beside the upstream itself, and what the next one costs beside a hosted file."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.load import in_turn, mib_a_second, wrk
from benchmarks.packages import SUBDIR, write_large_package
from benchmarks.report import Row, at_most, noted, share
from benchmarks.servers import NoNginx, data_process, running
from benchmarks.workshop import Workshop
from condahub.ops.supervise import any_free_port
from condahub.packages.maker import make_package

TITLE = "a lazy proxy"
MIB = 1024**2
LARGE_BYTES, QUICK_LARGE_BYTES = 100 * MIB, 20 * MIB
# A line of 1 Gbit/s, which is more than most upstreams give to one connection.
LINE_BYTES_A_SECOND = 120_000_000
SMALL_BYTES = 3_800
SMALL_FILES = 60
TIMES = 3

_NGINX = """
daemon off;
{user}
worker_processes 1;
pid {folder}/pid;
error_log {folder}/log crit;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 100000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{ listen 127.0.0.1:{port}; root {files}; {limit} }}
}}
"""


def run(shop: Workshop) -> Iterator[Row]:
    """nginx on loopback is the upstream, once as on a line of 1 Gbit/s and once as fast as it can."""
    size = QUICK_LARGE_BYTES if shop.quick else LARGE_BYTES
    for word, limit in (("1 Gbit/s", f"limit_rate {LINE_BYTES_A_SECOND};"), ("loopback", "")):
        folder = shop.folder / f"lazy-{len(word)}"
        files = folder / "upstream"
        shop.say(f"making an upstream ({word})")
        larges, smalls = _make_upstream(files, size, shop.rounds)
        with _upstream(folder / "nginx", files, limit) as upstream:
            made = shop.inside(folder / "hub", "proxy", upstream, str(size))
            environment = {**shop.environment(folder / "hub"), "CONDAHUB_PRIVATE_NETWORKS_ALLOWED": "127.0.0.0/8"}
            with data_process(environment, folder / "server.log") as hub:
                proxy = f"{hub}/channels/bench-proxy/"
                yield from _misses(upstream, proxy, larges, smalls, word, binding=bool(limit) and not shop.quick)
                if limit:
                    yield from _hits(shop, hub, proxy, larges[0], smalls[0], made)
        shutil.rmtree(folder)


def _misses(upstream: str, proxy: str, larges: list[str], smalls: list[str], word: str, *, binding: bool) -> Iterator[Row]:
    # The line to the upstream, and what the process loads at its first miss, are there for all of them.
    _seconds(f"{proxy}{smalls[-1]}")
    direct, missed = [], []
    for path in larges:
        direct.append(_large_seconds(f"{upstream}/{path}"))
        missed.append(_large_seconds(f"{proxy}{path}"))
    ratio = median(miss / own for miss, own in zip(missed, direct, strict=True))
    yield noted(f"{word}: the large package from the upstream", f"{median(direct):.2f} s")
    yield at_most(f"{word}: a miss of it, times the upstream's", ratio, 1.2, "", binding=binding, more=f"{median(missed):.2f} s")
    direct = [_seconds(f"{upstream}/{path}") * 1000 for path in smalls[1:-1]]
    missed = [_seconds(f"{proxy}{path}") * 1000 for path in smalls[1:-1]]
    more = f"{median(direct):.1f} ms from the upstream, p95 {sorted(missed)[int(len(missed) * 0.95)]:.1f} ms"
    yield at_most(f"{word}: a miss of 5 KB takes longer by", median(missed) - median(direct), 20, "ms", binding=True, more=more)


def _hits(shop: Workshop, hub: str, proxy: str, large: str, small: str, made: dict[str, Any]) -> Iterator[Row]:
    _seconds(f"{proxy}{small}")
    time.sleep(1)
    found = in_turn(
        {
            "hosted": lambda: mib_a_second(hub + made["large"], TIMES),
            "proxy": lambda: mib_a_second(f"{proxy}{large}", TIMES),
            "hosted small": lambda: wrk(hub + made["public"], shop.round_seconds),
            "proxy small": lambda: wrk(f"{proxy}{small}", shop.round_seconds),
        },
        shop.rounds,
    )
    yield share("a hit of the large package, of a hosted one", found, "proxy", "hosted", 0.95, "MiB/s")
    yield share("a hit of 5 KB, of a hosted one", found, "proxy small", "hosted small", 0.95, "/s")


def _large_seconds(url: str) -> float:
    begun = time.perf_counter()
    mib_a_second(url)
    return time.perf_counter() - begun


def _seconds(url: str) -> float:
    return _large_seconds(url)


def _make_upstream(folder: Path, size: int, count: int) -> tuple[list[str], list[str]]:
    """So many large packages, many small ones, and their index; the paths."""
    subdir = folder / SUBDIR
    subdir.mkdir(parents=True)
    larges = []
    for number in range(count):
        path = subdir / f"large-1.{number}-0.conda"
        write_large_package(path, size)
        larges.append(path)
    smalls = [
        make_package(subdir, f"small{number}", "1.0", subdir=SUBDIR, files={"share/content": os.urandom(SMALL_BYTES)})
        for number in range(SMALL_FILES)
    ]
    document = {"info": {"subdir": SUBDIR}, "packages": {}, "packages.conda": {path.name: _record(path) for path in larges + smalls}}
    (subdir / "repodata.json").write_text(json.dumps(document))
    return [f"{SUBDIR}/{path.name}" for path in larges], [f"{SUBDIR}/{path.name}" for path in smalls]


def _record(path: Path) -> dict[str, Any]:
    name, version, build = path.name.removesuffix(".conda").rsplit("-", 2)
    data = path.read_bytes()
    digests = {"sha256": hashlib.sha256(data).hexdigest(), "md5": hashlib.md5(data, usedforsecurity=False).hexdigest()}
    return {
        "name": name,
        "version": version,
        "build": build,
        "build_number": 0,
        "depends": [],
        "subdir": SUBDIR,
        "size": len(data),
        **digests,
    }


@contextmanager
def _upstream(folder: Path, files: Path, limit: str) -> Iterator[str]:
    program = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        raise NoNginx("nginx is missing: `make test-system` or `apt-get install nginx`")
    folder.mkdir(parents=True)
    port = any_free_port()
    # As root it would give its workers to somebody who may not read a private folder.
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "conf").write_text(_NGINX.format(folder=folder, port=port, files=files, limit=limit, user=user))
    with running([program, "-c", str(folder / "conf")], port=port, environment={}, log=folder / "out") as url:
        yield url
