"""An upstream channel, a server in front of it, and a folder to mirror it to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zstandard

from mirrors_app.core.config import MirrorConfig
from mirrors_app.core.fetch import FetchSettings
from mirrors_app.core.folder import FolderTarget
from mirrors_app.core.run import RunReport, sync
from mirrors_app.core.ssrf import make_guard
from tests.mirrors_app.core.upstream_server import Channel, UpstreamServer

QUICK = FetchSettings(
    guard=make_guard(networks=["127.0.0.0/8"]), first_backoff_seconds=0.01, max_backoff_seconds=0.05, attempts=4, breaker_failures=10_000
)


@pytest.fixture
def channel(tmp_path: Path) -> Channel:
    """Three packages in linux-64, one in noarch."""
    made = Channel(tmp_path / "upstream")
    made.add("base", write=False)
    made.add("tool", depends=["base >=1"], write=False)
    made.add("tool", "2.0", extension=".tar.bz2", depends=["base >=1", "pure"], write=False)
    made.add("pure", subdir="noarch", write=False)
    made.write()
    return made


@pytest.fixture
def server(channel: Channel) -> Iterator[UpstreamServer]:
    with UpstreamServer(channel.folder) as running:
        yield running


@pytest.fixture
def mirror(tmp_path: Path, server: UpstreamServer) -> Callable[..., RunReport]:
    """`mirror(**settings)` brings `mirror.folder` to the upstream once; settings are MirrorConfig's, or fetch_ and FetchSettings'."""

    def run(folder: Path = tmp_path / "mirror", cancelled: Callable[[], bool] = lambda: False, **settings: Any) -> RunReport:
        with FolderTarget(folder) as target:
            return asyncio.run(sync(config_for(server, **settings), target, cancelled=cancelled))

    return run


def config_for(server: UpstreamServer, **settings: Any) -> MirrorConfig:
    fetch = replace(QUICK, **{key[6:]: settings.pop(key) for key in list(settings) if key.startswith("fetch_")})
    return MirrorConfig(**{"upstreams": (server.url,), "subdirs": ("linux-64", "noarch"), "fetch": fetch, **settings})


def served(folder: Path, subdir: str = "linux-64") -> dict[str, dict[str, Any]]:
    """filename -> record of what a mirrored folder shows, after looking that all its forms say the same and all files are there."""
    document = json.loads((folder / subdir / "repodata.json").read_bytes())
    assert json.loads(zstandard.decompress((folder / subdir / "repodata.json.zst").read_bytes())) == document
    records: dict[str, dict[str, Any]] = {**document["packages"], **document["packages.conda"]}
    for filename, record in records.items():
        assert (folder / subdir / filename).stat().st_size == record["size"]
    return records
