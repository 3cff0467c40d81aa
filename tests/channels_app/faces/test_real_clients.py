"""The main job with clients that others wrote: published by rattler-build's uploaders and quetz-client, installed by py-rattler."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import httpx
import pytest
import requests
from quetz_client.client import QuetzClient

from condahub.packages.maker import make_package
from tests.hub import ADMIN_TOKEN, RunningHub

pytestmark = pytest.mark.real
CLIENT_SECONDS = 60
_numbers = count(1)

# Both leave by os._exit: what a client did is what the hub holds, and py-rattler may crash while Python ends.
UPLOAD = """
import os, sys
import rattler_build
kind, url, channel, key, *files = sys.argv[1:]
try:
    if kind == "quetz":
        rattler_build.upload_package_to_quetz(files, url, channel, api_key=key)
    elif kind == "prefix":
        rattler_build.upload_package_to_prefix(files, url, channel, api_key=key)
    else:
        rattler_build.upload_package_to_artifactory(files, url, channel, token=key)
except Exception as error:
    print(error, file=sys.stderr, flush=True)
    os._exit(3)
os._exit(0)
"""
INSTALL = """
import asyncio, os, sys
from rattler import Channel, Client, Gateway, MatchSpec, SourceConfig, VirtualPackage, install, solve
url, folder, sharded, *specs = sys.argv[1:]

async def main():
    client = Client.authenticated_client()
    config = SourceConfig(sharded_enabled=sharded == "sharded", zstd_enabled=sharded != "json", bz2_enabled=False)
    gateway = Gateway(cache_dir=folder + "/repodata", default_config=config, client=client)
    records = await solve(sources=[Channel(url)], specs=[MatchSpec(spec) for spec in specs], gateway=gateway,
                          platforms=["linux-64", "noarch"], virtual_packages=VirtualPackage.detect())
    await install(records=records, target_prefix=folder + "/env", cache_dir=folder + "/pkgs", client=client, show_progress=False)

try:
    asyncio.run(main())
except Exception as error:
    print(error, file=sys.stderr, flush=True)
    os._exit(3)
os._exit(0)
"""


def run(script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env={**kept, "RATTLER_AUTH_FILE": "/nonexistent", **environment},
        capture_output=True,
        text=True,
        timeout=CLIENT_SECONDS,
        check=False,
    )


@pytest.fixture
def client(running_hub: RunningHub) -> Iterator[QuetzClient]:
    made = QuetzClient.from_token(running_hub.url, ADMIN_TOKEN)
    made.session.trust_env = False
    with made.session:
        yield made


@pytest.fixture
def channel(client: QuetzClient) -> str:
    """A new private channel, made by quetz-client."""
    name = f"clients-{next(_numbers)}"
    client.set_channel(name, description="for real clients", private=True)
    return name


@pytest.fixture
def key(running_hub: RunningHub, channel: str) -> str:
    """A key that may publish into this channel and nothing else."""
    body = {"description": "CI", "expire_at": "2999-01-01", "roles": [{"channel": channel, "package": None, "role": "maintainer"}]}
    response = httpx.post(f"{running_hub.url}/api/api-keys", json=body, headers={"X-API-Key": ADMIN_TOKEN})
    assert response.status_code == 201, response.text
    made: str = response.json()["key"]
    return made


@pytest.fixture
def install(running_hub: RunningHub, tmp_path: Path) -> Callable[..., Path]:
    """`install(url, how, *specs)` installs into a new prefix and returns it."""

    def run_install(url: str, how: str, *specs: str, token: str = "") -> Path:
        folder = tmp_path / f"install-{next(_numbers)}"
        folder.mkdir()
        auth = folder / "auth.json"
        auth.write_text(json.dumps({"127.0.0.1": {"BearerToken": token}} if token else {}))
        done = run(INSTALL, url, str(folder), how, *specs, RATTLER_AUTH_FILE=str(auth))
        assert done.returncode == 0, done.stderr
        return folder / "env"

    return run_install


@pytest.mark.parametrize("kind", ["quetz", "prefix", "artifactory"])
def test_rattler_build_publishes_and_py_rattler_installs_from_a_private_channel(
    running_hub: RunningHub, channel: str, key: str, install: Callable[..., Path], tmp_path: Path, kind: str
) -> None:
    files = [
        make_package(tmp_path, "base", run_exports={"weak": ["base"]}, extension=".tar.bz2"),
        make_package(tmp_path, "app", "2.1", depends=["base >=1"]),
    ]
    server = f"{running_hub.url}/channels" if kind == "artifactory" else running_hub.url
    for _ in range(2):  # a retry after an answer that was lost
        done = run(UPLOAD, kind, server, channel, key, *map(str, files))
        assert done.returncode == 0, done.stderr
    for how in ("sharded", "zst", "json"):
        prefix = install(f"{running_hub.url}/t/{key}/get/{channel}", how, "app")
        assert (prefix / "share/app/made").is_file() and (prefix / "share/base/made").is_file()
    prefix = install(f"{running_hub.url}/channels/{channel}", "sharded", "app", token=key)
    assert (prefix / "share/app/made").is_file()


@pytest.mark.parametrize("kind", ["quetz", "prefix", "artifactory"])
def test_a_refusal_ends_the_client_with_an_error_and_changes_nothing(
    running_hub: RunningHub, channel: str, key: str, tmp_path: Path, kind: str
) -> None:
    server = f"{running_hub.url}/channels" if kind == "artifactory" else running_hub.url
    first = make_package(tmp_path / "first", "demo")
    assert run(UPLOAD, kind, server, channel, key, str(first)).returncode == 0
    second = make_package(tmp_path / "second", "demo", files={"share/other": b"other"})
    assert run(UPLOAD, kind, server, channel, key, str(second)).returncode == 3
    assert run(UPLOAD, kind, server, "another-channel", key, str(first)).returncode == 3
    kept = httpx.get(f"{running_hub.url}/channels/{channel}/noarch/{first.name}", headers={"X-API-Key": key})
    assert kept.content == first.read_bytes()
    assert key not in running_hub.log


def test_quetz_client_publishes_and_lists(
    running_hub: RunningHub, client: QuetzClient, channel: str, key: str, install: Callable[..., Path], tmp_path: Path
) -> None:
    for number in range(3):
        client.post_file_to_channel(channel, make_package(tmp_path, f"part-{number}"))
    assert [package.name for package in client.yield_packages(channel, limit=2)] == ["part-0", "part-1", "part-2"]
    assert [package.name for package in client.yield_packages(channel, query="part-1")] == ["part-1"]
    found = {one.name: one for one in client.yield_channels(limit=1)}[channel]
    assert found.private and found.packages_count == 3 and found.members_count >= 1
    for how in ("sharded", "zst"):
        assert (install(f"{running_hub.url}/t/{key}/get/{channel}", how, "part-2") / "share/part-2/made").is_file()


def test_quetz_client_manages_people_and_channels(client: QuetzClient, channel: str) -> None:
    user = next(client.yield_users())
    assert [role.role for role in client.get_role(user.username)] == ["owner"]
    assert [(member.user.username, member.role) for member in client.yield_channel_members(channel)] == [(user.username, "owner")]
    client.set_role(user.username, "owner")
    with pytest.raises(requests.HTTPError):
        client.set_channel(channel)
    client.delete_channel(channel)
    assert channel not in {one.name for one in client.yield_channels()}
