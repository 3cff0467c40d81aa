"""The disk is full, or the store is gone: uploads are refused with when to come again, reads go on."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from condahub.packages.maker import make_package
from condahub.storage.temporary import RESERVE_BYTES
from tests.faults.hurt import Channel, open_channel
from tests.hub import RunningHub, start_hub

pytestmark = pytest.mark.real
MIB = 1024**2


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of its own, 160 MiB large."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={160 * MIB}", "tmpfs", str(folder)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("a small filesystem can't be mounted here (that takes root)")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def leave_free(folder: Path, size: int) -> None:
    """Fill the filesystem up to so many bytes."""
    ballast = folder / "ballast"
    ballast.unlink(missing_ok=True)
    free = shutil.disk_usage(folder).free
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free - size)


def test_a_full_disk_is_a_507_while_reads_go_on(small_disk: Path, tmp_path: Path, eventually: Callable[..., object]) -> None:
    with start_hub(small_disk) as hub:
        channel = open_channel(hub)
        first, second = make_package(tmp_path, "first"), make_package(tmp_path, "second")
        assert channel.upload(first).status_code == 201
        leave_free(small_disk, RESERVE_BYTES + 2 * MIB)
        large = make_package(tmp_path, "large", files={"share/data": os.urandom(4 * MIB)})
        refuse(channel.upload(large))
        assert channel.upload(second).status_code == 201, "what fits is taken"
        for free in (RESERVE_BYTES - MIB, 0):
            leave_free(small_disk, free)
            refuse(channel.upload(make_package(tmp_path, "third")))
            read(channel, first, second)
            assert httpx.get(f"{channel.base}/noarch/{first.name}", headers=hub.headers, timeout=10).status_code == 200, "with a token too"
        (small_disk / "ballast").unlink()
        assert channel.upload(large).status_code == 201
        assert channel.shown().keys() == {first.name, second.name, large.name} and channel.unfinished == []


def refuse(answer: httpx.Response) -> None:
    assert answer.status_code == 507, (answer.status_code, answer.text)
    assert int(answer.headers["Retry-After"]) > 0 and answer.json()["code"] == "storage_full"


def read(channel: Channel, *paths: Path) -> None:
    assert channel.shown().keys() == {path.name for path in paths}
    for path in paths:
        for base in (channel.hub.url, channel.hub.data_url):
            assert httpx.get(f"{base}/channels/tools/noarch/{path.name}", timeout=10).content == path.read_bytes()
            assert path.name in httpx.get(f"{base}/channels/tools/noarch/repodata.json", timeout=10).json()["packages.conda"]


def test_a_store_that_is_gone_is_a_503_until_it_is_back(start_a_hub: Callable[..., RunningHub], tmp_path: Path) -> None:
    hub = start_a_hub()
    channel = open_channel(hub)
    first, second = make_package(tmp_path, "first"), make_package(tmp_path, "second")
    assert channel.upload(first).status_code == 201
    store = hub.data / "store"
    store.rename(hub.data / "unmounted")
    # A volume that is not mounted is most often an empty folder.
    for prepare in (lambda: None, store.mkdir):
        prepare()
        for answer in (channel.upload(second), httpx.get(f"{channel.base}/noarch/{first.name}", timeout=10)):
            assert answer.status_code == 503 and int(answer.headers["Retry-After"]) > 0, answer.text
            assert answer.json()["code"] in ("storage_unavailable", "blob_missing")
        assert channel.shown().keys() == {first.name}, "the index goes on"
    store.rmdir()
    (hub.data / "unmounted").rename(store)
    assert httpx.get(f"{channel.base}/noarch/{first.name}", timeout=10).content == first.read_bytes()
    assert channel.upload(second).status_code == 201
