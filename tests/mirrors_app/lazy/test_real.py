"""A real hub before a real upstream: a solver installs through the proxy, and a killed process leaves nothing that is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from condahub.ops.roles import HOME
from tests.channels_app.faces.test_real_clients import INSTALL, run
from tests.hub import RunningHub, start_hub
from tests.mirrors_app.core import upstream_server
from tests.mirrors_app.core.upstream_server import UpstreamServer
from tests.mirrors_app.lazy.test_demand import slowly

pytestmark = pytest.mark.real
LARGE_BYTES = 3_000_000
WITHIN_SECONDS = 60

MAKE = """
import sys, django
django.setup(set_prefix=False)
from condahub.accounts.models import Organization, User
from condahub.accounts.policy import Actor
from mirrors_app.services.mirrors import UpstreamSpec, create_mirror
actor = Actor.of(User.objects.filter(is_superuser=True).order_by("pk").first())
create_mirror(
    actor=actor, organization=Organization.objects.create(name="acme"), name="proxy", visibility="public",
    upstreams=[UpstreamSpec(url=sys.argv[1])], settings={"mode": "lazy", "subdirs": ["linux-64", "noarch"]},
)
"""


@pytest.fixture(autouse=True)
def _fresh() -> None:
    """The hub has a database of its own; the tests' is not needed."""


@pytest.fixture
def hub(tmp_path: Path, channel: upstream_server.Channel, server: UpstreamServer) -> Iterator[RunningHub]:
    """With a proxy whose index has come."""
    channel.add("large", files={"lib/data": os.urandom(LARGE_BYTES)})
    with start_hub(tmp_path / "hub", CONDAHUB_PRIVATE_NETWORKS_ALLOWED="127.0.0.0/8") as hub:
        environment = {**hub.environment, "DJANGO_SETTINGS_MODULE": "condahub.settings"}
        subprocess.run([sys.executable, "-c", MAKE, server.url], cwd=HOME, env=environment, check=True, timeout=WITHIN_SECONDS)
        deadline = time.monotonic() + WITHIN_SECONDS
        while httpx.get(f"{hub.url}/channels/proxy/linux-64/repodata.json").status_code != 200:
            assert time.monotonic() < deadline, hub.log[-4000:]
            time.sleep(0.2)
        yield hub


def test_a_solver_installs_cold_and_warm_and_a_kill_in_the_middle_costs_a_second_fetch_and_no_wrong_byte(
    hub: RunningHub, tmp_path: Path, channel: upstream_server.Channel, server: UpstreamServer
) -> None:
    for how in ("zst", "sharded"):
        folder = tmp_path / how
        folder.mkdir()
        done = run(INSTALL, f"{hub.url}/channels/proxy", str(folder), how, "tool >=2")
        assert done.returncode == 0, done.stderr
        assert (folder / "env/share/base/made").exists()
        assert set(server.packages().values()) == {1}
    assert sorted(server.packages()) == ["/linux-64/base-1.0-0.conda", "/linux-64/tool-2.0-0.tar.bz2", "/noarch/pure-1.0-0.conda"]
    _kill_in_the_middle(hub, channel, server)


def _kill_in_the_middle(hub: RunningHub, channel: upstream_server.Channel, server: UpstreamServer) -> None:
    wanted = (channel.folder / "linux-64/large-1.0-0.conda").read_bytes()
    path = "/channels/proxy/linux-64/large-1.0-0.conda"
    server.faults.append(slowly)
    parts = hub.data / "store/.incoming"
    with ThreadPoolExecutor(2) as pool:
        # One in the process that is killed, one that follows it in another process.
        killed = pool.submit(_received, f"{hub.data_url}{path}")
        _until(lambda: server.packages()["/linux-64/large-1.0-0.conda"] == 1)
        follower = pool.submit(_received, f"{hub.url}{path}")
        time.sleep(0.15)
        hub.kill("data")
        assert len(killed.result()) < len(wanted)
        assert follower.result() == wanted
    assert server.packages()["/linux-64/large-1.0-0.conda"] == 2
    _until(lambda: not [name for name in _names(parts) if name.endswith(".part")])
    assert httpx.get(f"{hub.url}{path}").content == wanted
    assert server.packages()["/linux-64/large-1.0-0.conda"] == 2


def _names(folder: Path) -> list[str]:
    return os.listdir(folder) if folder.exists() else []


def _received(url: str) -> bytes:
    """What came, as far as it did."""
    body = bytearray()
    with suppress(httpx.HTTPError), httpx.stream("GET", url, timeout=WITHIN_SECONDS) as answer:
        for piece in answer.iter_bytes():
            body += piece
    return bytes(body)


def _until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_SECONDS
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)
