"""Environments: pages of many of them, and whether a specification would solve against a large channel."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx

from benchmarks.load import wrk
from benchmarks.report import Row, at_most, milliseconds, noted, percentile
from benchmarks.workshop import Workshop, channel_of
from tests.hub import RunningHub

TITLE = "environments"
# That of benchmarks.inside.
ORGANIZATION = "bench"
ENVIRONMENTS, QUICK_ENVIRONMENTS = 1000, 200
MOST_QUERIES = 6
# conda-store 2025.9.1 on two cores, the same list of 1,000 environments.
PEER_A_SECOND, LEAST_TIMES = 4.0, 20.0
QUESTIONS, QUICK_QUESTIONS = 60, 20
MOST_SOLVE_SECONDS = 1.0
LISTS = {
    "the hub's own API": f"/api/hub/v1/organizations/{ORGANIZATION}/environments?page_size=100",
    "conda-store's API": "/conda-store/api/v1/environment/?page=1&size=100",
}


def run(shop: Workshop) -> Iterator[Row]:
    """One hub with one web process."""
    data = shop.largest()
    count = QUICK_ENVIRONMENTS if shop.quick else ENVIRONMENTS
    shop.say(f"making {count:,} environments")
    queries = shop.inside(data, "environments", channel_of(shop.most), str(count), *LISTS.values())
    shop.inside(data, "stack", channel_of(shop.most))
    hub = RunningHub.start(data, {"CONDAHUB_LOG_LEVEL": "WARNING", "CONDAHUB_ACCESS_LOG": "0"})
    try:
        yield from _questions(hub, channel_of(shop.most), QUICK_QUESTIONS if shop.quick else QUESTIONS, shop)
        for name, path in LISTS.items():
            yield at_most(f"{count:,} environments, 100 to a page, {name}", queries[path], MOST_QUERIES, "queries")
            rate = max(wrk(f"{hub.url}{path}", shop.round_seconds, hub.headers) for _ in range(shop.rounds))
            least = LEAST_TIMES * PEER_A_SECOND
            yield Row("the same", f"{rate:,.0f} a second", f">= {least:,.0f} a second", f"{rate / least:.2f}", rate >= least)
    finally:
        hub.stop()


def _questions(hub: RunningHub, channel: str, count: int, shop: Workshop) -> Iterator[Row]:
    with httpx.Client(base_url=hub.url, headers=hub.headers, timeout=120) as client:
        seconds, most = [], 0
        for number in range(count + 1):
            names = ", ".join(f"stack-{239 - (number + 7 * place) % 80}" for place in range(3))
            text = f"channels: [{channel}]\ndependencies: [python, {names}]\nplatforms: [linux-64]\n"
            begun = time.monotonic()
            answer = client.post("/api/hub/v1/environments/would-it-solve", json={"organization": ORGANIZATION, "specification": text})
            seconds.append(time.monotonic() - begun)
            said = answer.raise_for_status().json()
            assert said["solves"], said
            most = max(most, len(said["packages"]["linux-64"]))
    cold, *warm = seconds
    yield noted(f"would it solve, against {shop.most:,} records, up to {most} packages: the first question", f"{cold:.2f} s")
    yield at_most("the following, different ones, p95", percentile(warm, 95), MOST_SOLVE_SECONDS, "s", more=milliseconds(warm))
