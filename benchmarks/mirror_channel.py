"""Mirroring into a channel of the hub: an index of the largest size for the first time, unchanged, and with 500 changed records."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.mirror import CHANGED_SECONDS, INGEST_MIB, INGEST_SECONDS, LARGE_STEP_SECONDS, MIB, NO_CHANGE_SECONDS, serving
from benchmarks.report import Row, at_most, noted
from benchmarks.workshop import Workshop
from condahub.ops.roles import HOME
from tests.postgres import postgres

TITLE = "mirroring into a channel"
UNCHANGED_RUNS = 6
FORMS = {"shards": "", "zst": "location ~ shards { return 404; }"}


def run(shop: Workshop) -> Iterator[Row]:
    """Over each form of the index, in a hub's data folder of its own; each step in a process of its own.

    With `--postgres` on a PostgreSQL of its own, or on the empty database that CONDAHUB_TEST_PG_URL names.
    """
    if shop.postgres:
        with postgres() as url:
            yield from _measured(dataclasses.replace(shop, database_url=url))
    else:
        yield from _measured(shop)


def _measured(shop: Workshop) -> Iterator[Row]:
    root = shop.folder / "mirror-channel"
    upstream, size = root / "upstream", f"{shop.most:,} records"
    shop.say(f"mirror_channel: an index of {size}")
    _step([sys.executable, "-m", "benchmarks.mirror_large", "make", str(upstream), str(shop.most)], {**os.environ})
    with contextlib.ExitStack() as stack:
        urls = {form: stack.enter_context(serving(upstream, extra)) for form, extra in FORMS.items()}
        for form, url in urls.items():
            shop.say(f"mirror_channel: first run over {form}")
            found = _inside(shop, root / form, "first", f"of-{form}", url)
            more = f"{found['names']:,} names"
            what = f"first ingest over {form}, {size}, until clients see it"
            yield at_most(what, found["shown_seconds"], INGEST_SECONDS, "s", binding=not shop.quick, more=more)
            yield noted("until lists and searches have it and the run is told", f"{found['seconds']:.1f} s ({found['cpu']:.1f} s CPU)")
            yield at_most(f"its peak memory, {form}", found["peak_bytes"] / MIB, INGEST_MIB, "MiB", binding=not shop.quick)
            found = _inside(shop, root / form, "again", f"of-{form}", str(UNCHANGED_RUNS))
            # The first one loads what a running worker has loaded.
            beyond = (min(found["seconds"][1:]) - found["get_seconds"]) * 1000
            more = f"{min(found['cpu'][1:]) * 1000:.0f} ms CPU; the request {found['get_seconds'] * 1000:.1f} ms"
            yield at_most(f"nothing changed, {form}, beyond the conditional GET", beyond, NO_CHANGE_SECONDS * 1000, "ms", more=more)
        _step([sys.executable, "-m", "benchmarks.mirror_large", "change", str(upstream)], {**os.environ})
        for form in urls:
            found = _inside(shop, root / form, "again", f"of-{form}", "1")
            more = f"{found['changed'][0]} changed, {found['cpu'][0]:.1f} s CPU, {found['peak_bytes'] / MIB:,.0f} MiB"
            limit = CHANGED_SECONDS[form]
            yield at_most(f"changed records planned and published over {form}", found["seconds"][0], limit, "s", more=more)


def _inside(shop: Workshop, data: Path, *words: str) -> dict[str, Any]:
    environment = {**shop.environment(data), "CONDAHUB_PRIVATE_NETWORKS_ALLOWED": "127.0.0.0/8"}
    return _step([sys.executable, "-m", "benchmarks.mirror_inside", *words], environment)


def _step(command: list[str], environment: dict[str, str]) -> dict[str, Any]:
    done = subprocess.run(command, cwd=HOME, env=environment, stdout=subprocess.PIPE, check=True, timeout=LARGE_STEP_SECONDS)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1] if done.stdout else b"{}")
    return found
