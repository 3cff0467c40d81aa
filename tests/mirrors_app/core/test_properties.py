"""After any sequence of upstream changes and interrupted runs, the folder equals a fresh mirror of the last revision plus what is kept."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mirrors_app.core.folder import FolderTarget
from mirrors_app.core.run import RunReport, sync
from tests.mirrors_app.core.conftest import config_for, served
from tests.mirrors_app.core.faults import Status, is_package
from tests.mirrors_app.core.upstream_server import Channel, UpstreamServer

NAMES, VERSIONS = ("a", "b", "c"), ("1", "2")
PLACES = st.tuples(st.sampled_from(NAMES), st.sampled_from(VERSIONS), st.sampled_from(("linux-64", "noarch")))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), PLACES),
        st.tuples(st.just("remove"), PLACES),
        st.tuples(st.just("hotfix"), PLACES),
        st.tuples(st.just("run"), st.just(None)),
        st.tuples(st.just("cancelled"), st.integers(0, 3)),
        st.tuples(st.just("failing"), st.integers(0, 4)),
        # The run ends at its so-many-th step with the target, whatever that is.
        st.tuples(st.just("cut"), st.integers(1, 80)),
    ),
    min_size=3,
    max_size=14,
)


class PowerCut(Exception):
    """The run is over in the middle of whatever it did."""


class Cutting:
    """A target whose calls end in a PowerCut before or after the so-many-th; `discard` and `close` still work."""

    def __init__(self, target: FolderTarget, step: int) -> None:
        self._target, self._left = target, step

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if not callable(found) or name in ("discard", "close"):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            self._step()
            result = found(*args, **kwargs)
            self._step()
            return result

        return call

    def _step(self) -> None:
        self._left -= 1
        if self._left == 0:
            raise PowerCut


def is_hit(path: str, number: int) -> bool:
    """One package in five, the same ones in each process."""
    return is_package(path) and crc32(path.encode()) % 5 == number


def mirror(server: UpstreamServer, folder: Path, **given: Any) -> RunReport:
    cancelled, cut = given.pop("cancelled", lambda: False), given.pop("cut", 0)
    with FolderTarget(folder) as target:
        used: Any = Cutting(target, cut) if cut else target
        return asyncio.run(sync(config_for(server, shrink_share=1.0, **given), used, cancelled=cancelled))


def files(folder: Path) -> dict[str, bytes]:
    """Everything that is served, but for the moment of its making."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".condahub" not in path.parts and "shards" not in path.parts and not path.name.startswith("repodata_shards")
    }


@pytest.mark.parametrize("form", ["shards", "zst"])
@pytest.mark.parametrize("removed", ["keep", "drop"])
@settings(
    max_examples=8, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(steps=STEPS)
def test_any_history_ends_as_a_fresh_mirror(form: str, removed: str, steps: list[tuple[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        channel = Channel(Path(scratch) / "upstream")
        channel.forms = {form}
        channel.records["linux-64"] = {}
        for always in ("linux-64", "noarch"):
            channel.add("always", "1", subdir=always)
        folder = Path(scratch) / "mirror"
        ever: dict[tuple[str, str], dict[str, Any]] = {}
        with UpstreamServer(channel.folder) as server:
            for number, (what, where) in enumerate(steps):
                server.faults = []
                _step(channel, server, folder, what, where, number, removed)
                for subdir in ("linux-64", "noarch"):
                    if (folder / subdir / "repodata.json").exists():
                        ever |= {(subdir, name): one for name, one in served(folder, subdir).items()}
            server.faults = []
            report = mirror(server, folder, removed=removed)
            assert (report.status, report.refused) == ("ok", [])
            fresh = Path(scratch) / "fresh"
            mirror(server, fresh, removed=removed)
        for subdir in ("linux-64", "noarch"):
            wanted = dict(served(fresh, subdir))
            if removed == "keep":
                wanted = {name: one for (where, name), one in ever.items() if where == subdir} | wanted
            assert served(folder, subdir) == wanted
        if removed == "drop":
            assert files(folder) == files(fresh)
            assert not list(folder.rglob("*.part"))


def _step(channel: Channel, server: UpstreamServer, folder: Path, what: str, where: Any, number: int, removed: str) -> None:
    if what == "add":
        name, version, subdir = where
        if f"{name}-{version}-0.conda" not in channel.records[subdir]:
            channel.add(name, version, subdir=subdir)
    elif what in ("remove", "hotfix"):
        name, version, subdir = where
        filename = f"{name}-{version}-0.conda"
        if filename in channel.records[subdir]:
            if what == "remove":
                channel.remove(filename, subdir)
            else:
                channel.records[subdir][filename]["constrains"] = [f"x >={number}"]
                channel.write()
    elif what == "run":
        assert mirror(server, folder, removed=removed).status == "ok"
    elif what == "cancelled":
        before = sum(server.packages().values())
        mirror(server, folder, removed=removed, cancelled=lambda: sum(server.packages().values()) - before >= where)
    elif what == "cut":
        with suppress(PowerCut):
            mirror(server, folder, removed=removed, cut=where)
    else:
        server.faults = [Status(500, lambda path: is_hit(path, where), times=0)]
        mirror(server, folder, removed=removed)
