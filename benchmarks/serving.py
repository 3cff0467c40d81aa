"""Serving: GETs a second of small files as a share of gunicorn's own ceiling, one worker each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

from benchmarks.load import cycle_script, in_turn, wrk
from benchmarks.report import Row, noted, share
from benchmarks.servers import HUB_WORKER, STOCK_WORKER, bare_gunicorn, data_process
from benchmarks.workshop import Workshop

TITLE = "serving: GETs a second, one worker, 16 connections"
COLD = 12_000


def run(shop: Workshop) -> Iterator[Row]:
    """Every peer runs on the same machine in the same minutes, by turns."""
    data = shop.folder / "serving"
    shop.say("making channels, files and tokens")
    made = shop.inside(data, "serving", str(COLD), "0")
    environment, log = shop.environment(data), shop.folder / "servers.log"
    public, private, keys, size = made["public"], made["private"], made["tokens"], made["size"]
    with (
        bare_gunicorn(environment, log, worker=HUB_WORKER, body_bytes=size) as bare,
        bare_gunicorn(environment, log, worker=STOCK_WORKER, body_bytes=size) as stock,
        data_process(environment, log) as hub,
    ):
        one_token = {"X-API-Key": keys[0]}
        index = public.rpartition("/")[0]
        cold_token = _by_turns(shop, hub, [private], keys)
        cold_all = _by_turns(shop, hub, made["many"], keys)
        rates = in_turn(
            {
                "stock": lambda: wrk(stock, shop.round_seconds),
                "bare": lambda: wrk(bare, shop.round_seconds),
                "public": lambda: wrk(hub + public, shop.round_seconds),
                "repodata": lambda: wrk(f"{hub}{index}/repodata.json.zst", shop.round_seconds),
                "shards": lambda: wrk(f"{hub}{index}/repodata_shards.msgpack.zst", shop.round_seconds),
                "token": lambda: wrk(hub + private, shop.round_seconds, one_token),
                "token cold": cold_token,
                "all cold": cold_all,
            },
            shop.rounds,
        )
    yield noted(f"gunicorn's own gthread, nothing in it, {size:,} bytes", f"{rates['stock']:,.0f} /s")
    for what, name, ceiling, least in (
        ("gunicorn with the hub's worker, nothing in it", "bare", "stock", None),
        ("public package, hot", "public", "bare", 0.5),
        ("the same, against gthread", "public", "stock", None),
        ("public repodata.json.zst, hot", "repodata", "bare", None),
        ("public shard index, hot", "shards", "bare", None),
        ("private package, token with cached grant", "token", "bare", 0.35),
        ("the same, against gthread", "token", "stock", None),
        ("private package, each token new to the process", "token cold", "bare", 0.15),
        ("the same, each file new as well", "all cold", "bare", None),
    ):
        yield share(what, rates, name, ceiling, least, "/s")
    found = shop.inside(data, "queries", keys[0], public, private)
    yield Row("queries: public package, hot", str(found["public hot"]), "0", "", found["public hot"] == 0)
    yield Row("queries: private package, token cached", str(found["private hot"]), "0", "", found["private hot"] == 0)
    yield Row("queries: private package, token new", str(found["private token cold"]), "<= 2", "", found["private token cold"] <= 2)
    yield noted("queries: private package, channel and file new too", str(found["private cold"]))


def _by_turns(shop: Workshop, hub: str, paths: list[str], keys: list[str]) -> Callable[[], float]:
    rounds = count()
    folder = Path(shop.folder / f"cycle-{len(paths)}")
    folder.mkdir(exist_ok=True)

    def measure() -> float:
        # Each round begins where no round before it came.
        first = next(rounds) * (COLD // shop.rounds)
        return wrk(hub, shop.round_seconds, script=cycle_script(folder, paths, keys, first=first))

    return measure
