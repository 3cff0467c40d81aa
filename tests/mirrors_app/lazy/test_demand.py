"""A package comes on first demand: once for all, verified before its end is given out, and never again after that."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from aiohttp import web
from django.db import connection
from pytest_django.fixtures import Settings

from channels_app.models import Channel, PackageFile
from channels_app.services.channels import create_channel
from channels_app.services.policies import set_policy
from channels_app.services.publish import Upload, permit_upload, publish
from channels_app.services.scopes import Scope
from channels_app.sources import CutShort, Wanted
from condahub.accounts.models import Organization
from condahub.accounts.policy import Actor
from condahub.errors import HubError
from condahub.storage.blobs import blobs
from condahub.storage.temporary import temporary_folder
from mirrors_app.lazy.fetching import Fetching
from mirrors_app.lazy.flight import WITHHELD_BYTES, Flight
from mirrors_app.models import Demand, Location, Mirror
from tests.channels_app.doors_of import Reply, ask
from tests.mirrors_app.core import faults, upstream_server
from tests.mirrors_app.core.upstream_server import UpstreamServer
from tests.mirrors_app.lazy.conftest import MakeProxy, refresh, until

BASE = "/channels/proxy/linux-64/base-1.0-0.conda"
LARGE = "/channels/proxy/linux-64/large-1.0-0.conda"
LARGE_BYTES = 3_000_000
Proxy = Mirror


def _ask(path: str, **headers: str) -> Reply:
    """From a thread of its own, whose connection ends with it."""
    try:
        return ask(path, data=True, **headers)
    finally:
        connection.close()


def _left() -> list[str]:
    return sorted(os.listdir(temporary_folder()))


def _here() -> int:
    return PackageFile.objects.filter(blob__isnull=False).count()


def _stored() -> set[str]:
    return {one.sha256 for one in blobs().iterate()}


def _settled() -> None:
    """Nothing is under way any more, and nothing is left of it."""
    until(lambda: not Demand.objects.exclude(holder="").exists() and not _left())


def _wanted(path: str) -> Wanted:
    file = PackageFile.objects.get(filename=path.rpartition("/")[2])
    return Wanted(file.channel_id, file.pk, file.subdir, file.filename, file.sha256, file.size)


@pytest.fixture
def large(make_proxy: MakeProxy, channel: upstream_server.Channel, server: UpstreamServer) -> bytes:
    """The bytes of a package of several pieces, which the proxy shows."""
    channel.add("large", files={"lib/data": os.urandom(LARGE_BYTES)})
    refresh(make_proxy())
    server.requests.clear()
    return (channel.folder / "linux-64/large-1.0-0.conda").read_bytes()


def test_the_first_who_asks_has_it_fetched_and_the_next_get_it_from_the_store(
    proxy: Proxy, channel: upstream_server.Channel, server: UpstreamServer
) -> None:
    wanted = (channel.folder / "linux-64/base-1.0-0.conda").read_bytes()
    for _ in range(3):
        reply = ask(BASE, data=True)
        assert (reply.status, reply.body) == (200, wanted)
        assert reply.headers["Content-Length"] == str(len(wanted))
        assert reply.headers["ETag"] == f'"{channel.records["linux-64"]["base-1.0-0.conda"]["sha256"]}"'
        until(lambda: _here() == 1)
    assert server.packages() == {"/linux-64/base-1.0-0.conda": 1}
    assert not Demand.objects.exists()
    _settled()
    assert Channel.objects.get().used_bytes == len(wanted)


def test_a_hundred_who_ask_at_once_are_one_fetch(large: bytes, server: UpstreamServer) -> None:
    with ThreadPoolExecutor(100) as pool:
        replies = list(pool.map(_ask, [LARGE] * 100))
    assert all((reply.status, reply.body) == (200, large) for reply in replies)
    assert sum(server.packages().values()) == 1


def test_two_processes_fetch_it_once_and_both_give_it_out(large: bytes, server: UpstreamServer) -> None:
    server.faults.append(slowly)
    processes = [Fetching(), Fetching()]
    try:
        fetches = [one.join(_wanted(LARGE)) for one in processes]
        assert [one.wait() for one in fetches] == [True, True]
        assert [b"".join(one.pieces(0, len(large))) for one in fetches] == [large, large]
    finally:
        for one in processes:
            one.stop()
    assert sum(server.packages().values()) == 1


def slowly(request: web.Request, path: Path) -> object:
    """Ten pieces, a moment apart."""
    if not faults.is_package(request.path):
        return None

    async def answer() -> web.StreamResponse:
        with open(path, "rb") as file:
            data = file.read()
        response = web.StreamResponse(headers={"Content-Length": str(len(data))})
        await response.prepare(request)
        for start in range(0, len(data), len(data) // 10):
            await response.write(data[start : start + len(data) // 10])
            await asyncio.sleep(0.05)
        return response

    return answer()


def all_but_the_last_byte_until(released: threading.Event) -> Callable[[web.Request, Path], object]:
    def fault(request: web.Request, path: Path) -> object:
        if not faults.is_package(request.path):
            return None

        async def answer() -> web.StreamResponse:
            data = path.read_bytes()
            response = web.StreamResponse(headers={"Content-Length": str(len(data))})
            await response.prepare(request)
            await response.write(data[:-1])
            while not released.is_set():
                await asyncio.sleep(0.01)
            await response.write(data[-1:])
            return response

        return answer()

    return fault


def test_it_is_given_out_while_it_comes_but_for_its_end(large: bytes, server: UpstreamServer) -> None:
    released = threading.Event()
    server.faults.append(all_but_the_last_byte_until(released))
    fetch = Fetching()
    try:
        flight = fetch.join(_wanted(LARGE))
        assert flight.wait()
        pieces = flight.pieces(0, len(large))
        received = b""
        while len(received) < len(large) - WITHHELD_BYTES:
            received += next(pieces)
        assert received == large[:-WITHHELD_BYTES] and _here() == 0
        released.set()
        assert received + b"".join(pieces) == large
    finally:
        released.set()
        fetch.stop()


@pytest.mark.parametrize("fault", [faults.WrongBytes(), faults.Short(), faults.Html()], ids=["wrong", "short", "html"])
def test_what_was_not_promised_is_cut_short_and_not_kept_and_the_next_who_asks_asks_again(
    fault: faults.Limited, large: bytes, server: UpstreamServer
) -> None:
    server.faults.append(fault)
    stored = _stored()
    received = bytearray()
    fetch = Fetching()
    try:
        pieces = _pieces(fetch.join(_wanted(LARGE)), len(large), received)
        with pytest.raises((CutShort, HubError)):
            pieces()
    finally:
        fetch.stop()
    assert len(received) <= len(large) - WITHHELD_BYTES
    _settled()
    assert (_here(), _stored()) == (0, stored)
    assert ask(LARGE, data=True).body == large


def _pieces(flight: Flight, size: int, received: bytearray) -> Callable[[], None]:
    def take() -> None:
        assert flight.wait()
        for piece in flight.pieces(0, size):
            received.extend(piece)

    return take


def test_a_small_package_that_is_another_is_an_error_and_no_byte_of_it(proxy: Proxy, server: UpstreamServer) -> None:
    server.faults.append(faults.WrongBytes())
    reply = ask(BASE, data=True)
    assert (reply.status, reply.json()["code"]) == (502, "upstream_broken")
    assert ask(BASE, data=True).status == 200


def test_a_package_that_says_that_it_is_another_is_refused(
    make_proxy: MakeProxy, channel: upstream_server.Channel, server: UpstreamServer
) -> None:
    other = channel.folder / "linux-64/tool-1.0-0.conda"
    record = channel.records["linux-64"]["base-1.0-0.conda"]
    record |= {key: channel.records["linux-64"]["tool-1.0-0.conda"][key] for key in ("sha256", "md5", "size")}
    (channel.folder / "linux-64/base-1.0-0.conda").write_bytes(other.read_bytes())
    channel.write()
    refresh(make_proxy())
    assert ask(BASE, data=True).status == 502
    assert _here() == 0


@pytest.mark.parametrize("etag", ["same", "changed"])
def test_a_connection_that_breaks_is_taken_up_again(etag: str, large: bytes, server: UpstreamServer) -> None:
    server.faults.append(faults.Dropped(etag=(lambda part: '"one"') if etag == "same" else (lambda part: f'"{part}"')))
    assert ask(LARGE, data=True).body == large
    assert sum(server.packages().values()) == 2


def test_an_upstream_that_fails_is_said_to_and_left_in_peace_for_a_moment(proxy: Proxy, server: UpstreamServer) -> None:
    server.faults.append(faults.Status(500, times=0))
    reply = ask(BASE, data=True)
    assert (reply.status, reply.json()["code"]) == (503, "upstream_failed")
    assert 0 < int(reply.headers["Retry-After"]) <= 5
    asked = sum(server.packages().values())
    assert ask(BASE, data=True).status == 503
    assert sum(server.packages().values()) == asked
    assert "127.0.0.1" not in reply.body.decode()


def test_a_short_wait_that_the_upstream_asks_for_is_waited(proxy: Proxy, server: UpstreamServer) -> None:
    server.faults.append(faults.Status(429, retry_after="1"))
    assert ask(BASE, data=True).status == 200


def test_what_the_upstream_has_no_more_is_remembered_for_a_while(
    proxy: Proxy, channel: upstream_server.Channel, server: UpstreamServer
) -> None:
    path = channel.folder / "linux-64/base-1.0-0.conda"
    data = path.read_bytes()
    path.unlink()
    for _ in range(3):
        reply = ask(BASE, data=True)
        assert (reply.status, reply.json()["code"]) == (404, "upstream_missing")
    assert sum(server.packages().values()) == 1
    path.write_bytes(data)
    assert ask(BASE, data=True).status == 404
    Demand.objects.update(until="2026-01-01T00:00:00Z")
    assert ask(BASE, data=True).body == data


def test_names_that_the_index_does_not_know_are_asked_of_nobody(proxy: Proxy, server: UpstreamServer) -> None:
    assert ask("/channels/proxy/linux-64/nobody-1.0-0.conda", data=True).status == 404
    assert not server.requests


def test_a_head_and_a_condition_that_holds_fetch_nothing(large: bytes, server: UpstreamServer) -> None:
    head = ask(LARGE, data=True, method="HEAD")
    assert (head.status, head.headers["Content-Length"], head.body) == (200, str(len(large)), b"")
    assert ask(LARGE, data=True, If_None_Match=head.headers["ETag"]).status == 304
    assert not server.requests


def test_a_part_is_given_of_what_is_just_coming(large: bytes, server: UpstreamServer) -> None:
    reply = ask(LARGE, data=True, Range="bytes=1000000-1000099")
    assert (reply.status, reply.body) == (206, large[1_000_000:1_000_100])
    assert reply.headers["Content-Range"] == f"bytes 1000000-1000099/{len(large)}"
    assert ask(LARGE, data=True, Range="bytes=-5").body == large[-5:]
    assert sum(server.packages().values()) == 1


def test_who_leaves_or_takes_slowly_holds_up_nobody(large: bytes, server: UpstreamServer) -> None:
    fetch = Fetching()
    try:
        flight = fetch.join(_wanted(LARGE))
        assert flight.wait()
        leaving, slow = flight.pieces(0, len(large)), flight.pieces(0, len(large))
        next(leaving)
        leaving.close()
        first = next(slow)
        until(lambda: _here() == 1)
        assert first + b"".join(slow) == large
    finally:
        fetch.stop()
    _settled()


@pytest.mark.parametrize("dropped", [("sha256",), ("size",), ("sha256", "size")], ids=["md5 alone", "no size", "neither"])
def test_a_record_that_says_little_is_enough(
    dropped: tuple[str, ...], make_proxy: MakeProxy, channel: upstream_server.Channel, server: UpstreamServer
) -> None:
    record = channel.records["linux-64"]["base-1.0-0.conda"]
    whole = dict(record)
    for key in dropped:
        del record[key]
    channel.write()
    refresh(make_proxy())
    head = ask(BASE, data=True, method="HEAD")
    assert head.headers.get("Content-Length") == (str(whole["size"]) if "size" not in dropped else None)
    for _ in range(2):
        reply = ask(BASE, data=True)
        assert (reply.status, len(reply.body), reply.headers["ETag"]) == (200, whole["size"], f'"{whole["sha256"]}"')
    assert sum(server.packages().values()) == 1


def test_who_may_not_read_the_channel_has_nothing_fetched(
    make_proxy: MakeProxy, channel: upstream_server.Channel, server: UpstreamServer
) -> None:
    refresh(make_proxy(visibility="private"))
    server.requests.clear()
    assert ask(BASE, data=True).status == 401
    assert not server.requests


def test_a_denied_package_is_refused_and_never_fetched(proxy: Proxy, staff: Actor, server: UpstreamServer) -> None:
    set_policy(actor=staff, scope=Scope.of_channel(proxy.channel), rules={"names": {"denied": ["base"]}})
    reply = ask(BASE, data=True)
    assert (reply.status, reply.json()["code"]) == (403, "policy_denied")
    assert not server.requests


def test_where_the_quota_has_no_room_nothing_is_fetched(proxy: Proxy, server: UpstreamServer) -> None:
    Channel.objects.update(quota_bytes=10)
    reply = ask(BASE, data=True)
    assert (reply.status, reply.json()["code"]) == (507, "quota_exceeded")
    assert not server.requests


@pytest.mark.parametrize(("visibility", "same", "fetched"), [("private", True, 0), ("public", False, 0), ("private", False, 1)])
def test_bytes_that_the_hub_holds_are_used_where_their_holder_is_open_to_this_one(
    visibility: str,
    same: bool,
    fetched: int,
    proxy: Proxy,
    staff: Actor,
    organization: Organization,
    channel: upstream_server.Channel,
    server: UpstreamServer,
) -> None:
    owner = organization if same else Organization.objects.create(name="other")
    hosted = create_channel(actor=staff, organization=owner, name="hosted", visibility=visibility)
    path = channel.folder / "linux-64/base-1.0-0.conda"
    with blobs().temporary() as temporary:
        temporary.write(path.read_bytes())
        permit = permit_upload(actor=staff, channel_name=hosted.name)
        publish(actor=staff, permit=permit, uploads=[Upload(filename=path.name, temporary=temporary)])
    assert ask(BASE, data=True).body == path.read_bytes()
    assert sum(server.packages().values()) == fetched


def test_a_holder_that_died_is_taken_over_from_and_its_file_removed(proxy: Proxy, server: UpstreamServer) -> None:
    (temporary_folder() / "1-dead.part").write_bytes(b"half")
    file = PackageFile.objects.get(filename="base-1.0-0.conda")
    Demand.objects.create(file=file, holder="dead", part="1-dead.part", until="2026-01-01T00:00:00Z")
    assert ask(BASE, data=True).status == 200
    _settled()


def test_a_holder_that_dies_while_others_wait_is_taken_over_from(
    large: bytes, server: UpstreamServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mirrors_app.lazy.leases.LEASE_SECONDS", 0.5)
    server.faults.append(slowly)
    dead, alive = Fetching(), Fetching()
    try:
        dead.join(_wanted(LARGE)).wait()
        follower = alive.join(_wanted(LARGE))
        assert follower.wait()
        pieces = follower.pieces(0, len(large))
        received = next(pieces)
        # As a kill would: nobody renews the lease, and nobody writes.
        _freeze(dead)
        assert received + b"".join(pieces) == large
    finally:
        alive.stop()
    assert sum(server.packages().values()) == 2


def _freeze(fetching: Fetching) -> None:
    loop = fetching._loop
    assert loop is not None
    stopped = threading.Event()

    def stop() -> None:
        stopped.set()
        time.sleep(3600)

    loop.call_soon_threadsafe(stop)
    assert stopped.wait(5)


def test_a_package_that_lies_elsewhere_is_fetched_from_there(
    make_proxy: MakeProxy, channel: upstream_server.Channel, server: UpstreamServer
) -> None:
    (channel.folder / "elsewhere").mkdir()
    path = channel.folder / "linux-64/base-1.0-0.conda"
    path.rename(channel.folder / "elsewhere/x.conda")
    record = channel.records["linux-64"][path.name]
    record["url"] = f"{server.url}elsewhere/x.conda"
    channel.write()
    proxy = make_proxy()
    refresh(proxy)
    assert Location.objects.count() == 1
    assert "elsewhere" not in ask("/channels/proxy/linux-64/repodata.json", data=True).body.decode()
    assert ask(BASE, data=True).status == 200
    record |= {"license": "BSD"}
    del record["url"]
    channel.write()
    refresh(proxy)
    assert not Location.objects.exists()


def test_an_index_leads_to_no_address_that_is_not_allowed(proxy: Proxy, server: UpstreamServer, settings: Settings) -> None:
    settings.CONDAHUB_PRIVATE_NETWORKS_ALLOWED = []
    assert ask(BASE, data=True).status == 503
    assert not server.requests
