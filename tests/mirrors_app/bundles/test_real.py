"""Two real hubs with nothing between them but a folder: carried by the command, killed in the middle, installed from by a real client."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from condahub.packages.maker import make_package
from tests.hub import RunningHub

pytestmark = pytest.mark.real
PACKAGES = 60


def condahub(hub: RunningHub | None, *arguments: object) -> str:
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
    if hub is not None:
        environment |= {"CONDAHUB_URL": hub.url, "CONDAHUB_TOKEN": hub.admin_token}
    command = [sys.executable, "-m", "condahub.cli", *(str(one) for one in arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, (arguments, done.stdout, done.stderr)
    return done.stdout


async def install(url: str, folder: Path) -> None:
    import rattler

    gateway = rattler.Gateway(cache_dir=str(folder / "cache"))
    solved = await rattler.solve([rattler.Channel(url)], ["p0", "top"], gateway=gateway, platforms=["linux-64", "noarch"])
    await rattler.install(solved, target_prefix=folder / "prefix", cache_dir=folder / "packages", show_progress=False)


@pytest.fixture
def closing() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_a_channel_crosses_the_gap(
    start_a_hub: Callable[..., RunningHub], eventually: Callable[..., object], tmp_path: Path, closing: ExitStack
) -> None:
    outside, inside = start_a_hub(), start_a_hub()
    files = [
        make_package(tmp_path / "made", name=f"p{number}", version="1.0", files={"share/x": random.Random(number).randbytes(200_000)})
        for number in range(PACKAGES)
    ]
    condahub(outside, "channel", "create", "tools", "--visibility", "public")
    condahub(inside, "channel", "create", "inner", "--visibility", "public")
    condahub(outside, "upload", "tools", make_package(tmp_path / "made", name="top", version="1.0", depends=["p0"]), *files)
    public = condahub(outside, "keys", "create", "outside").split("Public key")[1].split()[0]
    condahub(inside, "keys", "trust", "outside", public)
    usb = tmp_path / "usb"
    condahub(outside, "mirror", "export", "tools", usb, "--part-size", "3")
    assert all(part.stat().st_size <= 3_000_000 for part in usb.iterdir()) and len(list(usb.iterdir())) >= 5
    assert "signed by a key that you trust" in condahub(None, "bundle", "verify", usb, "--trust", public)

    api = closing.enter_context(httpx.Client(base_url=f"{inside.url}/api/hub/v1/", headers=inside.headers, timeout=60))
    number = api.post("channels/inner/imports", json={}).json()["id"]
    parts = sorted(one.name for one in usb.glob("part-*"))
    for name in ("manifest.sig", "manifest.json", *parts[:2]):
        assert api.put(f"imports/{number}/files/{name}", content=(usb / name).read_bytes()).status_code == 200
    inside.kill("web")
    inside.wait_until_live()
    # What was acknowledged need not be sent again.
    assert api.get(f"imports/{number}").json()["missing"] == parts[2:]
    for name in parts[2:]:
        assert api.put(f"imports/{number}/files/{name}", content=(usb / name).read_bytes()).status_code == 200
    job = api.post(f"imports/{number}/run").json()["job"]
    eventually(
        lambda: (api.get(f"jobs/{job}").json()["done"] or 0) > 3_000_000 or api.get(f"imports/{number}").json()["state"] == "done", 60
    )
    inside.kill("heavy")
    # Nobody sees half of it, then or later.
    while (state := api.get(f"imports/{number}").json()["state"]) not in ("done", "refused", "failed"):
        shown = api.get("channels/inner/files?page_size=1").json()["count"]
        assert shown in (0, PACKAGES + 1)
        time.sleep(0.5)
    assert state == "done"
    revisions = api.get("channels/inner/revisions").json()["results"]
    assert [one["number"] for one in revisions] == [2, 1]
    ours, theirs = (
        httpx.get(f"{hub.data_url}/channels/{name}/noarch/repodata.json").json() for hub, name in ((inside, "inner"), (outside, "tools"))
    )
    assert ours["packages.conda"] == theirs["packages.conda"] and len(ours["packages.conda"]) == PACKAGES + 1
    asyncio.run(install(f"{inside.url}/channels/inner", tmp_path))
    assert (tmp_path / "prefix/share/x").stat().st_size == 200_000
    assert "nothing was changed" in condahub(inside, "mirror", "import", "inner", usb)
