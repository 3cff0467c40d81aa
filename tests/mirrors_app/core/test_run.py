"""A run brings a folder to what the upstream shows, and the next one only what changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mirrors_app.core.run import RunReport
from tests.mirrors_app.core.conftest import served
from tests.mirrors_app.core.upstream_server import Channel, UpstreamServer

Mirror = Callable[..., RunReport]


@pytest.mark.parametrize("form", ["shards", "zst", "json"])
def test_everything_comes_and_then_nothing(form: str, channel: Channel, server: UpstreamServer, mirror: Mirror, tmp_path: Path) -> None:
    for old in channel.folder.glob("*/repodata*"):
        old.unlink()
    channel.forms = {form}
    channel.write()
    report = mirror()
    assert (report.status, report.reason, report.refused) == ("ok", "", [])
    assert len(report.added) == 4
    for subdir in ("linux-64", "noarch"):
        assert served(tmp_path / "mirror", subdir) == channel.records[subdir]
    server.requests.clear()
    again = mirror()
    assert (again.status, again.added) == ("ok", [])
    assert not server.packages()
    assert not any("shards/" in path for path in server.requests)
