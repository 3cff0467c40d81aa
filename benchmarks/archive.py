"""Archives: packing an environment against GNU tar piped into `zstd -T0 -3`, both in the same rounds."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from benchmarks.report import Row, at_most, noted
from benchmarks.workshop import Workshop
from condahub.engine.protocol import Archive, ArchiveAnswer
from condahub.engine.runner import run as run_engine

TITLE = "archives"
PACKAGES = 50
FILES, QUICK_FILES = 13_000, 2_000
# What the largest files take of all; with the others it is about 480 MiB.
LARGE_BYTES = 300 * 1024**2
ROUNDS = 5
MIB = 1024**2


def run(shop: Workshop) -> Iterator[Row]:
    """The files are those that this Python's own libraries are made of, in as many packages as a usual environment has."""
    if shutil.which("zstd") is None or shutil.which("tar") is None:
        yield Row("not measured: GNU tar and zstd are needed", "", met=False)
        return
    prefix = shop.folder / "environment"
    files, size = _make_prefix(prefix, QUICK_FILES if shop.quick else FILES)
    times: dict[str, list[float]] = {"hub": [], "tar": []}
    work: dict[str, list[float]] = {"hub": [], "tar": []}
    sizes: dict[str, int] = {}
    for _ in range(ROUNDS):
        for name, pack in (("tar", _by_tar), ("hub", _by_hub)):
            target = shop.folder / f"{name}.tar.zst"
            target.unlink(missing_ok=True)
            begun, worked = time.monotonic(), _cpu_seconds()
            pack(prefix, target)
            times[name].append(time.monotonic() - begun)
            work[name].append(_cpu_seconds() - worked)
            sizes[name] = target.stat().st_size
    # The best of each: what else the machine does only ever adds.
    tar, hub = min(times["tar"]), min(times["hub"])
    yield noted(f"GNU tar | zstd -T0 -3: {files:,} files, {size / MIB:,.0f} MiB", f"{tar:.2f} s ({sizes['tar'] / MIB:,.0f} MiB)")
    yield at_most("the hub's .tar.zst of the same", hub, tar, "s", more=f"{sizes['hub'] / MIB:,.0f} MiB")
    more = f"{median(work['hub']):.1f} CPU-s against {median(work['tar']):.1f} of tar and zstd"
    yield noted("work of the processor, the median", more, f"{median(work['hub']) / median(work['tar']):.2f}")
    shutil.rmtree(prefix)


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _make_prefix(prefix: Path, most: int) -> tuple[int, int]:
    """An environment's folder with records in conda-meta; (files, bytes)."""
    found = sorted({*sources(Path(sysconfig.get_path("stdlib"))), *sources(Path(sysconfig.get_path("platlib")))})
    chosen = mixed(found, most)
    shares: list[list[str]] = [[] for _ in range(PACKAGES)]
    size = 0
    for number, source in enumerate(chosen):
        name = f"lib/part{number * PACKAGES // most}/{number % 97}/{number}-{source.name}"
        target = prefix / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        shares[number * PACKAGES // most].append(name)
        size += target.stat().st_size
    (prefix / "conda-meta").mkdir()
    for number, names in enumerate(shares):
        record = {
            "name": f"part{number}",
            "version": "1.0",
            "build": "0",
            "timestamp": 1_700_000_000_000,
            "files": names,
            "paths_data": {"paths": [{"_path": name, "path_type": "hardlink"} for name in names], "paths_version": 1},
        }
        (prefix / "conda-meta" / f"part{number}-1.0-0.json").write_text(json.dumps(record))
    return len(chosen), size


def mixed(found: list[Path], most: int) -> list[Path]:
    """As usual environments are: a few large libraries, which are most of the bytes, among many small files."""
    large: list[Path] = []
    wanted = LARGE_BYTES * most // FILES
    for path in sorted(found, key=lambda path: path.stat().st_size, reverse=True):
        if (size := path.stat().st_size) <= wanted:
            large.append(path)
            wanted -= size
    small = most - len(large)
    return sorted([*large, *(found[number * max(1, len(found) // small) % len(found)] for number in range(small))])


def sources(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        yield from (Path(parent, name) for name in names if not Path(parent, name).is_symlink())


def _by_tar(prefix: Path, target: Path) -> None:
    subprocess.run(["sh", "-c", f"tar -C '{prefix}' -cf - . | zstd -q -T0 -3 -o '{target}'"], check=True)


def _by_hub(prefix: Path, target: Path) -> None:
    request = Archive(
        name="environment", prefix=str(prefix), baked=str(prefix), targets={"tar.zst": str(target)}, caches=(), workers=os.cpu_count() or 1
    )
    answer = run_engine(request)
    assert isinstance(answer, ArchiveAnswer)
