"""First imports: a big package in the hub's environment beside a prefix linked and compiled as conda does it, cold processes in turn."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from benchmarks.report import Row, at_most, noted
from benchmarks.workshop import Workshop
from condahub.ops.roles import HOME
from tests.engine.channels import PLACEHOLDER, Served
from tests.engine.cpython import add_python
from tests.environments_app.site import Site, site

CHANNEL, ENVIRONMENT = "imports", "imports"
# Of the machine's own site-packages: pure Python, and as much of it as one import statement of anybody's loads.
PARTS = ("django", "asgiref", "sqlparse")
STATEMENT = "import django.db.models, django.forms, django.http, django.template, django.test, django.views.generic, django.core.management"
PROCESSES, QUICK_PROCESSES = 40, 15
# What the median of the same against itself moves by on two shared cores.
NOISE = 1.03


def rows(shop: Workshop) -> Iterator[Row]:
    """The hub's .pyc files name their source's hash and are never checked; conda's name its time."""
    with site(CONDAHUB_LOG_LEVEL="WARNING") as hub:
        shop.say("making an environment with a python and a big package")
        hub.channel(CHANNEL, visibility="public")
        _publish(hub, shop.folder / "imports")
        hub.made(ENVIRONMENT, f"channels: [{CHANNEL}]\ndependencies: [python, big]\n")
        own = Path(os.path.realpath(hub.folder(ENVIRONMENT)))
        peer = _as_conda_does(hub, shop.folder / "conda")
        taken: dict[str, list[float]] = {"hub": [], "conda": [], "none": []}
        for number in range(1 + (QUICK_PROCESSES if shop.quick else PROCESSES)):
            seconds = {"conda": _import(peer), "hub": _import(own)}
            if number % 5 == 0:
                seconds["none"] = _import(own, "-X", "pycache_prefix=/nonexistent")
            # The first round reads the files from the disk.
            for name, one in seconds.items() if number else ():
                taken[name].append(one)
    yield noted("first import of a big package, in a prefix linked and compiled as conda does", f"{median(taken['conda']) * 1000:.0f} ms")
    ratio = median(one / other for one, other in zip(taken["hub"], taken["conda"], strict=True))
    more = f"{median(taken['hub']) * 1000:.0f} ms; without bytecode {median(taken['none']) * 1000:.0f} ms"
    yield at_most("the same in the hub's environment, the median of pairs", ratio, NOISE, "times", more=more)


def _publish(hub: Site, folder: Path) -> None:
    made = Served(CHANNEL, folder)
    add_python(made, PLACEHOLDER)
    files = {}
    for name in PARTS:
        found = importlib.util.find_spec(name)
        assert found is not None and found.origin is not None
        root = Path(found.origin).parent
        for path in root.rglob("*.py"):
            files[f"site-packages/{name}/{path.relative_to(root).as_posix()}"] = path.read_bytes()
    made.add("big", noarch="python", depends=["python"], files=files)
    for path in sorted(made.folder.glob("*/*.conda")):
        hub.push(CHANNEL, path, path.parent.name)


def _as_conda_does(hub: Site, folder: Path) -> Path:
    """Hard-linked from a cache, then the Python of it compiled in its place, by the times of the files."""
    prefix = folder / "prefix"
    argv = [sys.executable, "-m", "benchmarks.bare_build", f"{hub.hub.data_url}/channels/{CHANNEL}/", str(folder), str(prefix)]
    subprocess.run([*argv, "python", "big"], cwd=HOME, stdout=subprocess.PIPE, check=True)
    compiling = [str(prefix / "bin" / "python"), "-Wi", "-m", "compileall", "-q", "--invalidation-mode", "timestamp", str(prefix / "lib")]
    subprocess.run(compiling, check=False, stdout=subprocess.DEVNULL)
    return prefix


def _import(prefix: Path, *options: str) -> float:
    """Seconds that a process of its own takes, from its start to its end."""
    begun = time.perf_counter()
    subprocess.run([str(prefix / "bin" / "python"), "-B", *options, "-c", STATEMENT], env={"PATH": "/usr/bin:/bin"}, check=True)
    return time.perf_counter() - begun
