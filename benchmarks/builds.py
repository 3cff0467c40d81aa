"""Builds: from a posted specification to the current folder, against bare py-rattler's solve and install in the same rounds."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import imports
from benchmarks.archive import FILES, PACKAGES, QUICK_FILES, mixed, sources
from benchmarks.report import Row, at_most, noted
from benchmarks.workshop import Workshop
from condahub.engine import prefix as prefixes
from condahub.ops.roles import HOME
from condahub.packages.maker import make_package
from tests.environments_app.site import Site, site

TITLE = "builds"
CHANNEL = "parts"
WARM_LIMIT, WARM_SPARE_SECONDS, COLD_LIMIT = 1.5, 1.0, 1.2
SHARED_LIMIT_PERCENT = 5.0


def run(shop: Workshop) -> Iterator[Row]:
    """Bytecode and artifacts are left out: each is a setting."""
    with site(CONDAHUB_COMPILE_BYTECODE="0", CONDAHUB_LOG_LEVEL="WARNING") as hub:
        files = QUICK_FILES if shop.quick else FILES
        shop.say(f"publishing {PACKAGES} packages with {files:,} files")
        hub.channel(CHANNEL, visibility="public")
        _publish(hub, shop.folder / "parts", files)
        bare = _Bare(hub, shop.folder / "bare")
        cold: dict[str, list[float]] = {"bare": [], "hub": []}
        warm: dict[str, list[float]] = {"bare": [], "hub": []}
        last: dict[str, Any] = {}
        for number in range(shop.rounds):
            bare.forget()
            cold["bare"].append(bare.build())
            shutil.rmtree(hub.root / ".c", ignore_errors=True)
            cold["hub"].append(_seconds(_built(hub, f"cold-{number}")))
            for _ in range(2):
                warm["bare"].append(bare.build())
                last = _built(hub, f"warm-{number}-{len(warm['bare'])}")
                warm["hub"].append(_seconds(last))
        peer, own = median(warm["bare"]), median(warm["hub"])
        yield noted(f"py-rattler's solve and install, {PACKAGES} packages, {files:,} files, warm", f"{peer:.2f} s")
        phases = ", ".join(f"{name} {seconds:.2f}" for name, seconds in last["timings"].items())
        yield at_most("the hub's whole build of the same, warm", own, WARM_LIMIT * peer + WARM_SPARE_SECONDS, "s", more=phases)
        peer, own = median(cold["bare"]), median(cold["hub"])
        yield noted("py-rattler's solve and install, cold", f"{peer:.2f} s")
        yield at_most("the hub's whole build, cold", own, COLD_LIMIT * peer, "s", binding=not shop.quick)
        found = prefixes.survey(Path(os.path.realpath(hub.folder(f"warm-0-{1}"))))
        share = 100 * found.unshared_bytes / max(1, found.total_bytes)
        yield at_most("blocks that a second environment of the same packages takes", share, SHARED_LIMIT_PERCENT, "%")
    yield from imports.rows(shop)


def _publish(hub: Site, folder: Path, most: int) -> None:
    found = sorted({*sources(Path(sysconfig.get_path("stdlib"))), *sources(Path(sysconfig.get_path("platlib")))})
    shares: list[dict[str, bytes]] = [{} for _ in range(PACKAGES)]
    for number, source in enumerate(mixed(found, most)[:most]):
        part = number * PACKAGES // most
        shares[part][f"lib/part{part}/{number % 97}/{number}-{source.name}"] = source.read_bytes()
    for number, files in enumerate(shares):
        depends = [f"part{number - 1}"] if number else []
        path = make_package(folder, f"part{number}", "1.0", subdir="linux-64", files=files, depends=depends)
        hub.push(CHANNEL, path, "linux-64")
        path.unlink()


def _built(hub: Site, name: str) -> dict[str, Any]:
    # With a variable of its own: the folder of the same packages would be used again.
    text = f"channels: [{CHANNEL}]\ndependencies: [part{PACKAGES - 1}]\nvariables: {{NAME: {name}}}\n"
    return hub.made(name, text)


def _seconds(build: dict[str, Any]) -> float:
    """From queued to current."""
    return (datetime.fromisoformat(build["ended_at"]) - datetime.fromisoformat(build["created_at"])).total_seconds()


class _Bare:
    """The peer, with a cache of its own on the same filesystem as its prefixes."""

    def __init__(self, hub: Site, folder: Path) -> None:
        self._channel = f"{hub.hub.data_url}/channels/{CHANNEL}/"
        self._folder = folder
        self._count = 0

    def forget(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def build(self) -> float:
        self._count += 1
        argv = [sys.executable, "-m", "benchmarks.bare_build", self._channel, str(self._folder), str(self._folder / f"p{self._count}")]
        environment = {**os.environ, "MALLOC_ARENA_MAX": "2"}
        done = subprocess.run([*argv, f"part{PACKAGES - 1}"], cwd=HOME, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        return float(done.stdout.split()[-1])
