"""Publishing: how long until an upload is acknowledged, and until it is in each form of the index, by the size of the channel."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from statistics import median

import msgspec
import zstandard

from benchmarks.clients import Client, Pulse, Response, wait_until
from benchmarks.packages import SUBDIR, SmallPackage, small_packages
from benchmarks.report import Row, at_most, milliseconds, noted, percentile
from benchmarks.workshop import MOST_RECORDS, Workshop, channel_of
from tests.hub import RunningHub, start_hub

TITLE = "publish: one package into a channel of so many records"
ACKNOWLEDGED_MILLISECONDS = 150
LARGE_FILES_SECONDS = 30
GET_TIMES_IDLE = 3
UPLOADS = 30
QUICK_UPLOADS = 10
IDLE_SECONDS = 3
SETTLE_SECONDS = 240
PAUSE_SECONDS = 0.1


def run(shop: Workshop) -> Iterator[Row]:
    """A real hub with all its processes, uploads as quetz-client sends them."""
    data = shop.fill()
    with start_hub(data) as hub, Client(hub.url, hub.admin_token) as client:
        _settle(client)
        for count in shop.sizes:
            shop.say(f"publishing into {count:,} records")
            packages = list(islice(small_packages(shop.folder / "small", f"bench-{count}"), QUICK_UPLOADS if shop.quick else UPLOADS))
            yield from _measure(hub, client, count, packages)
            _settle(client)


def _measure(hub: RunningHub, client: Client, count: int, packages: list[SmallPackage]) -> Iterator[Row]:
    channel = channel_of(count)
    binding = count == MOST_RECORDS
    # A file that was just uploaded to it is what others fetch meanwhile.
    first = packages.pop()
    client.upload(channel, first)
    _settle(client)
    small = f"/channels/{channel}/{SUBDIR}/{first.filename}"
    with Pulse(hub.url, small) as idle:
        time.sleep(IDLE_SECONDS)
    acknowledged: list[float] = []
    in_shards: list[float] = []
    with Pulse(hub.url, small) as meanwhile:
        for package in packages:
            answer = client.upload(channel, package)
            acknowledged.append(answer.seconds)
            in_shards.append(_see_in_shards(client, channel, package))
            time.sleep(PAUSE_SECONDS)
        begun = time.perf_counter()
        late = package.filename
        wait_until(lambda: _shown(client, channel) >= _head(client, channel), within_seconds=SETTLE_SECONDS)
        in_file = time.perf_counter() - begun + acknowledged[-1] + in_shards[-1] + PAUSE_SECONDS
    _require_in_repodata(client, channel, late)
    yield at_most(
        f"{count:,}: acknowledged, p50 of {len(acknowledged)}",
        median(acknowledged) * 1000,
        ACKNOWLEDGED_MILLISECONDS,
        "ms",
        binding=binding,
        more=f"p95 {percentile(acknowledged, 95) * 1000:.0f}",
    )
    yield noted(f"{count:,}: then seen in the shards, at the first look", milliseconds(in_shards))
    yield at_most(f"{count:,}: in repodata.json.zst after uploads without a pause", in_file, LARGE_FILES_SECONDS, "s", binding=binding)
    yield at_most(
        f"{count:,}: a small GET meanwhile, p50, against {median(idle.seconds) * 1000:.2f} ms idle",
        median(meanwhile.seconds) * 1000,
        GET_TIMES_IDLE * median(idle.seconds) * 1000,
        "ms",
        binding=binding,
        more=f"p95 {percentile(meanwhile.seconds, 95) * 1000:.1f}, idle {percentile(idle.seconds, 95) * 1000:.1f}",
    )


def _see_in_shards(client: Client, channel: str, package: SmallPackage) -> float:
    """Read index and shard as a client does; the seconds. Raises RuntimeError when what was acknowledged is not there."""
    begun = time.perf_counter()
    index = _msgpack(client.get(f"/channels/{channel}/{SUBDIR}/repodata_shards.msgpack.zst"))
    name = package.filename.rsplit("-", 2)[0]
    if name not in index["shards"]:
        raise RuntimeError(f"{package.filename} was acknowledged and is not in the shards of {channel}")
    shard = _msgpack(client.get(f"/channels/{channel}/{SUBDIR}/shards/{index['shards'][name].hex()}.msgpack.zst"))
    if package.filename not in shard["packages.conda"]:
        raise RuntimeError(f"{package.filename} was acknowledged and is not in its shard of {channel}")
    return time.perf_counter() - begun


def _msgpack(response: Response) -> dict[str, dict[str, bytes]]:
    raw = zstandard.ZstdDecompressor().decompress(response.expect(200).body, max_output_size=2**30)
    found: dict[str, dict[str, bytes]] = msgspec.msgpack.decode(raw)
    return found


def _head(client: Client, channel: str) -> int:
    return _revision(client.request("HEAD", f"/channels/{channel}/{SUBDIR}/repodata_shards.msgpack.zst"))


def _shown(client: Client, channel: str) -> int:
    return _revision(client.request("HEAD", f"/channels/{channel}/{SUBDIR}/repodata.json.zst"))


def _revision(response: Response) -> int:
    return int(response.expect(200).headers["x-condahub-revision"])


def _require_in_repodata(client: Client, channel: str, filename: str) -> None:
    body = client.get(f"/channels/{channel}/{SUBDIR}/repodata.json.zst").expect(200).body
    if f'"{filename}":'.encode() not in zstandard.ZstdDecompressor().decompress(body, max_output_size=2**32 - 1):
        raise RuntimeError(f"{filename} is not in the repodata.json.zst that says it holds its revision")


def _settle(client: Client) -> None:
    """Wait until no job waits or runs."""

    def is_idle() -> bool:
        return not any(client.json(f"/api/hub/v1/jobs?kind=channels.render&state={state}")["results"] for state in ("waiting", "running"))

    wait_until(is_idle, within_seconds=SETTLE_SECONDS, every_seconds=0.5)
