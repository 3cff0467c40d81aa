"""The web process is killed, cut off and starved while packages come in: what was acknowledged stays, nothing else is seen."""

from __future__ import annotations

import hashlib
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from condahub.packages.maker import make_package
from tests.faults.hurt import Channel, connect, open_channel, run_inside
from tests.hub import RunningHub, start_hub

pytestmark = pytest.mark.real
Eventually = Callable[..., object]
KILLS = 4
UPLOADERS = 4


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """One hub for the tests here, each of which leaves it well."""
    with start_hub(tmp_path_factory.mktemp("faults")) as running:
        yield running


@pytest.fixture(scope="module")
def channel(hub: RunningHub) -> Channel:
    return open_channel(hub)


def large_package(folder: Path, name: str, megabytes: int = 3) -> Path:
    """One whose body does not fit into the sockets' buffers."""
    return make_package(folder, name, files={"share/data": random.Random(name).randbytes(megabytes * 1024**2)})


def test_a_web_killed_in_the_middle_of_a_body_leaves_nothing_behind(
    hub: RunningHub, channel: Channel, tmp_path: Path, eventually: Eventually
) -> None:
    path = large_package(tmp_path, "halved")
    with channel.half_upload(path):
        eventually(lambda: channel.unfinished and channel.unfinished[0].stat().st_size > 0)
        killed = hub.kill("web")
        eventually(lambda: hub.pids()["web"] != killed)
    hub.wait_until_live()
    assert path.name not in channel.recorded() and path.name not in channel.shown()
    (left,) = channel.unfinished
    retried = channel.upload(path)
    assert retried.status_code == 201, retried.text
    assert channel.shown()[path.name] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert channel.unfinished == [left], "nobody else's temporary file is touched, and none is left of the one that came whole"
    long_ago = time.time() - 30 * 24 * 3600
    os.utime(left, (long_ago, long_ago))
    run_inside(hub, "from condahub.ops.gc import collect; collect(dry_run=False)")
    assert channel.unfinished == []


def test_what_was_acknowledged_survives_kills_at_any_moment(
    hub: RunningHub, channel: Channel, tmp_path: Path, eventually: Eventually
) -> None:
    acknowledged: dict[str, str] = {}
    sent: set[str] = set()
    guard = threading.Lock()
    over = threading.Event()

    def uploader(number: int) -> None:
        count = 0
        while not over.is_set():
            count += 1
            path = make_package(tmp_path, f"stream-{number}", f"1.{count}", files={"share/x": random.Random(count).randbytes(20_000)})
            with guard:
                sent.add(path.name)
            try:
                answer = channel.upload(path, timeout=15)
            except httpx.HTTPError:
                # The web is being killed; as a client that gives up, it goes on with the next one.
                time.sleep(0.05)
                continue
            assert answer.status_code in (200, 201, 502, 503), answer.text
            if answer.status_code in (200, 201):
                with guard:
                    acknowledged[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()

    threads = [threading.Thread(target=uploader, args=(number,)) for number in range(UPLOADERS)]
    for thread in threads:
        thread.start()
    moments = random.Random(20)
    try:
        for _ in range(KILLS):
            before = len(acknowledged)
            eventually(lambda before=before: len(acknowledged) > before + 3)
            time.sleep(moments.random() * 0.3)
            killed = hub.kill("web")
            eventually(lambda killed=killed: hub.pids()["web"] != killed)
            hub.wait_until_live()
    finally:
        over.set()
        for thread in threads:
            thread.join()
    hub.wait_until_live()
    eventually(lambda: not channel.rows("SELECT 1 FROM channels_dirtyname"))
    shown = {name: sha256 for name, sha256 in channel.shown().items() if name.startswith("stream-")}
    assert acknowledged.items() <= shown.items()
    assert set(shown) <= sent
    recorded = {name for name in channel.recorded() if name.startswith("stream-")}
    assert recorded == set(shown), "recorded and shown are one"
    with httpx.Client(timeout=20) as client:
        for name, sha256 in shown.items():
            body = client.get(f"{channel.base}/noarch/{name}").content
            assert hashlib.sha256(body).hexdigest() == sha256, f"{name} is half there"
        whole = client.get(f"{channel.base}/noarch/repodata.json").json()["packages.conda"]
    assert {name: record["sha256"] for name, record in whole.items()} == channel.shown()


PUBLISH_ALL = """
import sys
from pathlib import Path
from channels_app.services import publish
from condahub.accounts.policy import SYSTEM
from condahub.storage.blobs import blobs
for path in sorted(Path({folder!r}).glob("*.conda")):
    permit = publish.permit_upload(actor=SYSTEM, channel_name="tools", filename=path.name)
    with blobs().temporary() as temporary:
        temporary.write(path.read_bytes())
        print(publish.publish(actor=SYSTEM, permit=permit, uploads=[publish.Upload(path.name, temporary)])[0].created)
"""


def test_processes_that_publish_the_same_files_at_once_end_with_one_of_each(hub: RunningHub, channel: Channel, tmp_path: Path) -> None:
    paths = [make_package(tmp_path, "shared", f"1.{number}") for number in range(12)]
    script = PUBLISH_ALL.format(folder=str(tmp_path))
    with ThreadPoolExecutor(5) as pool:
        beside = [pool.submit(run_inside, hub, script) for _ in range(2)]
        # Until those have started, so that all are at it together.
        time.sleep(1)
        answers = [answer for _ in range(3) for answer in pool.map(channel.upload, paths)]
        created = sum(answer.json()["created"] for answer in answers) + sum(one.result().split().count("True") for one in beside)
    assert {answer.status_code for answer in answers} <= {200, 201} and created == len(paths)
    names = sorted(row[0] for row in channel.rows("SELECT filename FROM channels_packagefile WHERE name = 'shared'"))
    assert names == sorted(path.name for path in paths)
    shown = channel.shown()
    assert all(shown[path.name] == hashlib.sha256(path.read_bytes()).hexdigest() for path in paths)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_a_body_that_ends_short_is_a_400_and_never_a_package(hub: RunningHub, channel: Channel, tmp_path: Path, share: float) -> None:
    path = make_package(tmp_path, "cut-short", str(int(share * 1000)))
    with channel.half_upload(path, share=share) as client:
        client.shutdown(socket.SHUT_WR)
        client.settimeout(20)
        answer = client.recv(65536)
    assert answer.startswith(b"HTTP/1.1 400"), answer[:200]
    assert path.name not in channel.recorded() and path.name not in channel.shown()


def test_two_hundred_half_sent_requests_keep_nobody_from_reading(hub: RunningHub, channel: Channel, tmp_path: Path) -> None:
    path = make_package(tmp_path, "beside")
    assert channel.upload(path).status_code in (200, 201)
    clients = []
    try:
        for number in range(200):
            client = connect(hub.url if number % 2 else hub.data_url)
            # Some stop in the request line, some in the headers, some in a body.
            client.sendall((b"GET /channels/to", b"GET /livez HTTP/1.1\r\nHost: x\r\nX-", b"")[number % 3])
            clients.append(client)
        clients += [channel.half_upload(large_package(tmp_path, "held-up", 1)) for _ in range(8)]
        for base in (hub.url, hub.data_url):
            for file in ("repodata.json", path.name):
                assert httpx.get(f"{base}/channels/tools/noarch/{file}", timeout=10).status_code == 200
    finally:
        for client in clients:
            client.close()
