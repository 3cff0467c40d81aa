"""Against Quetz 0.10.4: the same packages into both, by turns, on the same machine in the same minutes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from statistics import median
from typing import NamedTuple

from benchmarks.clients import Client, Pulse, uploads_a_second, wait_until
from benchmarks.load import Rates, in_turn, wrk
from benchmarks.packages import SUBDIR, SmallPackage, small_packages
from benchmarks.quetz_server import NoQuetz, RunningQuetz, start_quetz
from benchmarks.report import Row, noted, percentile
from benchmarks.workshop import Workshop, channel_of
from tests.hub import RunningHub, start_hub

TITLE = "quetz: condahub against Quetz 0.10.4, one web worker each"
CLIENTS = 4
BATCH = 12
RECORDS = 10_000
VISIBLE_UPLOADS = 3
VISIBLE_SECONDS = 120
LOOK_SECONDS = 0.02


class Peer(NamedTuple):
    """One of the two, by what both have in common: Quetz's API. `repodata`: where its freshest monolithic index is."""

    url: str
    key: str
    large_channel: str


def run(shop: Workshop) -> Iterator[Row]:
    """Rows of two numbers and how many times better the hub's is."""
    data = shop.fill()
    shop.say("installing Quetz, or finding it installed")
    try:
        with start_quetz(shop.folder) as quetz, start_hub(data, CONDAHUB_WEB_WORKERS="1") as hub:
            yield from _compare(shop, hub, quetz)
    except NoQuetz as failure:
        yield Row(f"not measured: {failure}", "", met=False)


def _compare(shop: Workshop, hub: RunningHub, quetz: RunningQuetz) -> Iterator[Row]:
    ours = Peer(hub.url, _token_of(hub), channel_of(RECORDS))
    theirs = Peer(quetz.url, quetz.key, "large")
    for peer, channels in ((ours, ("empty", "empty-too")), (theirs, ("empty", "empty-too", "large"))):
        with Client(peer.url, peer.key) as client:
            for channel in channels:
                client.post_json("/api/channels", {"name": channel, "private": True}).expect(201)
    shop.say("uploading to both")
    made = small_packages(shop.folder / "small", "versus")
    for clients, channel in ((1, "empty"), (CLIENTS, "empty-too")):
        batches = [list(islice(made, BATCH)) for _ in range(shop.rounds)]
        peers = {"ours": ours, "theirs": theirs}
        rates = in_turn({name: _uploads(peer, channel, batches, clients) for name, peer in peers.items()}, shop.rounds)
        yield _more(f"uploads a second, {clients} client{'s' if clients > 1 else ''}", rates, "/s")
    first = next(made)
    for peer in (ours, theirs):
        with Client(peer.url, peer.key) as client:
            client.upload("empty", first)
    yield from _gets(shop, ours, theirs, f"/get/empty/{SUBDIR}/{first.filename}")
    shop.say(f"uploading into {RECORDS:,} records")
    quetz.add_records("large", RECORDS, subdir=SUBDIR)
    yield from _visible(shop, ours, theirs)


def _token_of(hub: RunningHub) -> str:
    """What a person would make for a program; the administrator's own, out of the environment, is for the hub's keeper."""
    with Client(hub.url, hub.admin_token) as client:
        made = client.post_json("/api/hub/v1/tokens", {"name": "benchmark", "scopes": ["full"]}).expect(201)
        return str(json.loads(made.body)["secret"])


def _gets(shop: Workshop, ours: Peer, theirs: Peer, path: str) -> Iterator[Row]:
    def gets(peer: Peer) -> Callable[[], float]:
        return lambda: wrk(peer.url + path, shop.round_seconds, {"X-API-Key": peer.key})

    rates = in_turn({"ours": gets(ours), "theirs": gets(theirs)}, shop.rounds)
    yield _more("GETs a second of a private package with a key", rates, "/s")


def _uploads(peer: Peer, channel: str, batches: Sequence[list[SmallPackage]], clients: int) -> Callable[[], float]:
    """Each round uploads a batch of its own, the same to both."""
    waiting = iter(batches)
    return lambda: uploads_a_second(peer.url, peer.key, channel, next(waiting), clients)


def _visible(shop: Workshop, ours: Peer, theirs: Peer) -> Iterator[Row]:
    """Upload one by one, each seen in repodata.json before the next; somebody else fetches a package meanwhile."""
    acknowledged: dict[str, float] = {}
    visible: dict[str, float] = {}
    meanwhile: dict[str, float] = {}
    packages = list(islice(small_packages(shop.folder / "small", "later"), VISIBLE_UPLOADS + 1))
    for peer in (ours, theirs):
        with Client(peer.url, peer.key) as client:
            # The first is for what a server does once, and is what others fetch meanwhile.
            _upload_and_see(client, peer, packages[0])
            fetched = f"/get/{peer.large_channel}/{SUBDIR}/{packages[0].filename}"
            with Pulse(peer.url, fetched, peer.key) as pulse:
                found = [_upload_and_see(client, peer, package) for package in packages[1:]]
            acknowledged[peer.url], visible[peer.url] = (median(values) for values in zip(*found, strict=True))
            meanwhile[peer.url] = percentile(pulse.seconds, 95)
    what = f"into {RECORDS:,} records"
    yield _faster(f"{what}: acknowledged", acknowledged[ours.url], acknowledged[theirs.url])
    yield _faster(f"{what}: visible in repodata.json", visible[ours.url], visible[theirs.url])
    yield _faster(f"{what}: a small GET meanwhile, p95", meanwhile[ours.url], meanwhile[theirs.url])
    yield noted(f"{what}: visible in the shards", "when acknowledged (Quetz has none)")


def _upload_and_see(client: Client, peer: Peer, package: SmallPackage) -> tuple[float, float]:
    """Seconds until it is acknowledged, and until repodata.json has it."""
    begun = time.perf_counter()
    acknowledged = client.upload(peer.large_channel, package).seconds
    name, index = f'"{package.filename}"'.encode(), f"/get/{peer.large_channel}/{SUBDIR}/repodata.json"
    wait_until(lambda: name in client.get(index).body, within_seconds=VISIBLE_SECONDS, every_seconds=LOOK_SECONDS)
    return acknowledged, time.perf_counter() - begun


def _more(what: str, rates: Rates, unit: str) -> Row:
    ratio = rates.ratio("ours", "theirs")
    return Row(what, f"{rates['ours']:,.1f} {unit}", f"Quetz: {rates['theirs']:,.1f} {unit}", f"{ratio:.1f}", ratio > 1)


def _faster(what: str, ours: float, theirs: float) -> Row:
    return Row(what, f"{ours * 1000:,.0f} ms", f"Quetz: {theirs * 1000:,.0f} ms", f"{theirs / ours:.1f}", ours < theirs)
