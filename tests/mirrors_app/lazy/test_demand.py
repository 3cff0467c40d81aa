"""A package comes on first demand: once for all, verified before its end is given out, and never again after that."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor

from django.db import connection

from channels_app.models import Channel, PackageFile
from condahub.storage.blobs import temporary_folder
from mirrors_app.models import Demand, Mirror
from tests.channels_app.doors_of import Reply, ask
from tests.mirrors_app.core import upstream_server
from tests.mirrors_app.core.upstream_server import UpstreamServer
from tests.mirrors_app.lazy.conftest import MakeProxy, show

BASE = "/channels/proxy/linux-64/base-1.0-0.conda"


def _ask(path: str = BASE, **headers: str) -> Reply:
    """From a thread of its own, whose connection ends with it."""
    try:
        return ask(path, data=True, **headers)
    finally:
        connection.close()


def _left() -> list[str]:
    return sorted(os.listdir(temporary_folder()))


def _here() -> int:
    return PackageFile.objects.filter(blob__isnull=False).count()


def test_the_first_who_asks_has_it_fetched_and_the_next_get_it_from_the_store(
    proxy: Mirror, channel: upstream_server.Channel, server: UpstreamServer
) -> None:
    wanted = (channel.folder / "linux-64/base-1.0-0.conda").read_bytes()
    for _ in range(3):
        reply = ask(BASE, data=True)
        assert (reply.status, reply.body) == (200, wanted)
        assert reply.headers["Content-Length"] == str(len(wanted))
        assert reply.headers["ETag"] == f'"{channel.records["linux-64"]["base-1.0-0.conda"]["sha256"]}"'
    assert server.packages() == {"/linux-64/base-1.0-0.conda": 1}
    _until(lambda: _here() == 1 and not Demand.objects.exists())
    assert not _left()
    assert Channel.objects.get().used_bytes == len(wanted)


def _until(done: object, seconds: float = 5.0) -> None:
    assert callable(done)
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_hundred_who_ask_at_once_are_one_fetch(make_proxy: MakeProxy, channel: upstream_server.Channel, server: UpstreamServer) -> None:
    channel.add("large", files={"lib/data": os.urandom(3_000_000)})
    proxy = make_proxy()
    show(proxy.channel, channel)
    wanted = (channel.folder / "linux-64/large-1.0-0.conda").read_bytes()
    with ThreadPoolExecutor(100) as pool:
        replies = list(pool.map(_ask, ["/channels/proxy/linux-64/large-1.0-0.conda"] * 100))
    assert all((reply.status, reply.body) == (200, wanted) for reply in replies)
    assert sum(server.packages().values()) == 1
