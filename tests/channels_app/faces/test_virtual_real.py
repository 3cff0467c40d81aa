"""A real client solves and installs from a virtual channel that the command line made, and gets the internal package of a name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from condahub.packages.maker import make_package
from tests.channels_app.faces.test_real_clients import INSTALL, run
from tests.hub import ADMIN_TOKEN, RunningHub

pytestmark = pytest.mark.real


@pytest.fixture
def hub(running_hub: RunningHub) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{running_hub.url}/api/hub/v1", headers=running_hub.headers, trust_env=False, timeout=30) as client:
        yield client


@pytest.mark.parametrize("kind", ["sharded", "zst", "json"])
def test_rattler_installs_from_a_union(running_hub: RunningHub, hub: httpx.Client, tmp_path: Path, kind: str) -> None:
    house, forge, union = f"house-{kind}", f"forge-{kind}", f"union-{kind}"
    for name in (house, forge):
        assert hub.post("/channels", json={"name": name, "visibility": "public"}).status_code == 201
    packages = {
        house: [make_package(tmp_path / "a", "billing", "1.0", depends=["zlib"], files={"share/billing": b"in-house"})],
        forge: [
            make_package(tmp_path / "b", "billing", "99.0", subdir="linux-64", files={"share/billing": b"somebody's"}),
            make_package(tmp_path / "b", "zlib", "1.3", files={"share/zlib": b"public"}),
        ],
    }
    for channel, files in packages.items():
        for path in files:
            assert hub.post(f"/channels/{channel}/upload/{path.name}", content=path.read_bytes()).status_code == 201
    made = command(running_hub, "channel", "virtual", "create", union, house, forge, "--visibility", "public")
    assert made.startswith(f"Created the public virtual channel {union} of {house}, {forge}")
    assert "the highest member that ever held it" in command(running_hub, "channel", "virtual", "owner", union, "billing")
    done = run(INSTALL, f"{running_hub.url}/channels/{union}", str(tmp_path / "work"), kind, "billing")
    assert done.returncode == 0, done.stderr
    environment = tmp_path / "work" / "env"
    assert (environment / "share/billing").read_bytes() == b"in-house" and (environment / "share/zlib").read_bytes() == b"public"
    records = [json.loads(path.read_text()) for path in (environment / "conda-meta").glob("*.json")]
    assert {(one["name"], one["version"]) for one in records} == {("billing", "1.0"), ("zlib", "1.3")}
    assert all(f"/channels/{union}/" in one["url"] for one in records)
    past = run(INSTALL, f"{running_hub.url}/channels/{union}@{revision(hub, union)}", str(tmp_path / "past"), kind, "billing")
    assert past.returncode == 0, past.stderr


def command(hub: RunningHub, *words: str) -> str:
    """What the `condahub` command prints."""
    environment = {**os.environ, "CONDAHUB_URL": hub.url, "CONDAHUB_TOKEN": ADMIN_TOKEN, "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(
        [sys.executable, "-m", "condahub.cli", *words], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def revision(hub: httpx.Client, channel: str) -> int:
    number: int = hub.get(f"/channels/{channel}").json()["revision"]
    return number
