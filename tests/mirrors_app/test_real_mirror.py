"""A mirror in a real hub: all of its processes are killed in the middle, and a real client installs what is there."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import zstandard

from tests.channels_app.faces.test_real_clients import INSTALL
from tests.channels_app.faces.test_real_clients import run as run_client
from tests.hub import RunningHub, start_hub
from tests.mirrors_app.core.upstream_server import Channel as Upstream
from tests.mirrors_app.core.upstream_server import UpstreamServer

pytestmark = pytest.mark.real
PACKAGES = 24
WITHIN_SECONDS = 300.0

_MAKE = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "condahub.settings"
import django; django.setup()
from condahub.accounts.models import Organization, User
from condahub.accounts.policy import Actor
from mirrors_app.services.mirrors import UpstreamSpec, create_mirror
from mirrors_app.services.runs import run_now
staff = Actor.of(User.objects.filter(is_superuser=True).first())
organization = Organization.objects.get_or_create(name="acme")[0]
mirror = create_mirror(actor=staff, organization=organization, name="inside", upstreams=[UpstreamSpec(url=sys.argv[1])],
    settings={"subdirs": ["linux-64", "noarch"], "connections": 2}, visibility="public")
print(run_now(actor=staff, mirror=mirror).pk)
"""


def in_hub(hub: RunningHub, code: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", code, *arguments], env=dict(hub.environment), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def index(hub: RunningHub) -> dict[str, Any]:
    answer = httpx.get(f"{hub.data_url}/channels/inside/linux-64/repodata.json.zst", timeout=10)
    assert answer.status_code in (200, 404)
    if answer.status_code == 404:
        return {}
    document = json.loads(zstandard.ZstdDecompressor().decompressobj().decompress(answer.content))
    return {**document["packages"], **document["packages.conda"]}


def job(hub: RunningHub, pk: str) -> dict[str, Any]:
    answered: dict[str, Any] = httpx.get(f"{hub.url}/api/hub/v1/jobs/{pk}", headers=hub.headers, timeout=10).json()
    return answered


def test_processes_killed_in_the_middle_cost_nothing_that_was_fetched(tmp_path: Path) -> None:
    """And what is mirrored in the end is what py-rattler installs."""
    upstream = Upstream(tmp_path / "upstream")
    names = [f"part{number}" for number in range(PACKAGES)]
    for name in names:
        upstream.add(name, write=False)
    upstream.add("top", depends=names, write=False)
    upstream.add("pure", subdir="noarch", write=False)
    upstream.write()
    gate = threading.Event()
    served = 0

    def slow(request: object, path: Path) -> None:
        nonlocal served
        if path.name.endswith(".conda"):
            served += 1
            if served > PACKAGES // 2 and not gate.is_set():
                time.sleep(0.5)

    with (
        UpstreamServer(upstream.folder) as server,
        start_hub(tmp_path / "hub", CONDAHUB_PRIVATE_NETWORKS_ALLOWED="127.0.0.0/8") as hub,
    ):
        server.faults = [slow]
        pk = in_hub(hub, _MAKE, server.url).strip()
        _until(lambda: served > PACKAGES // 2 + 8)
        assert index(hub) == {}
        hub.kill("heavy")
        assert index(hub) == {}
        for name in ("web", "data"):
            hub.kill(name)
        hub.wait_until_live()
        # The worker that took its place goes on meanwhile, and nobody sees half of what it does.
        assert set(index(hub)) in (set(), set(upstream.records["linux-64"]))
        gate.set()
        _until(lambda: job(hub, pk)["state"] not in ("waiting", "running"))
        assert (job(hub, pk)["state"], job(hub, pk)["attempts"]) == ("done", 2)
        assert set(index(hub)) == set(upstream.records["linux-64"])
        twice = sum(several - 1 for several in server.packages().values())
        assert twice < PACKAGES // 2, f"{twice} of {PACKAGES + 2} packages were fetched again"
        client = tmp_path / "client"
        client.mkdir()
        installed = run_client(INSTALL, f"{hub.data_url}/channels/inside", str(client), "sharded", "top", "pure")
        assert installed.returncode == 0, installed.stderr
        assert len(list((client / "env" / "conda-meta").glob("*.json"))) == PACKAGES + 2


def _until(done: Any) -> None:
    deadline = time.monotonic() + WITHIN_SECONDS
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.1)
