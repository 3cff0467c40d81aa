"""The portal and the admin over a channel of 600,000 files and 1,000 channels: every page, and search, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from benchmarks.report import Row, at_most, milliseconds, percentile
from benchmarks.workshop import Workshop, channel_of
from tests.postgres import postgres

TITLE = "portal: pages and search over 600,000 files and 1,000 channels"
CHANNELS, QUICK_CHANNELS = 1000, 100
PAGE_MS, SEARCH_MS, ADMIN_MS = 100.0, 150.0, 300.0
MOST_QUERIES = 12
ROUNDS, QUICK_ROUNDS = 21, 5
SEARCHES = 100


def run(shop: Workshop) -> Iterator[Row]:
    """Through the whole of Django but the network, in a process that is warm, as a person of eleven organizations and as staff."""
    yield from _on(shop, "SQLite")
    with postgres() as url:
        yield from _on(replace(shop, database_url=url), "PostgreSQL")


def _on(shop: Workshop, database: str) -> Iterator[Row]:
    data = shop.folder / f"portal-{database}"
    count = QUICK_CHANNELS if shop.quick else CHANNELS
    shop.say(f"portal: {shop.most:,} files and {count:,} channels on {database}")
    shop.inside(data, "prepare")
    shop.inside(data, "rows", channel_of(shop.most), str(shop.most))
    shop.inside(data, "publish", channel_of(shop.most))
    shop.inside(data, "portal-rows", channel_of(shop.most), str(count))
    shop.say("portal: looking at the pages")
    found = shop.inside(data, "portal", channel_of(shop.most), str(QUICK_ROUNDS if shop.quick else ROUNDS), str(SEARCHES))
    yield from _rows(found, database, binding=not shop.quick)


def _rows(found: dict[str, Any], database: str, *, binding: bool) -> Iterator[Row]:
    for what, limit in (("page", PAGE_MS), ("admin", ADMIN_MS)):
        pages: dict[str, Any] = found[what]
        slowest = sorted(pages, key=lambda name: percentile(pages[name]["seconds"], 50), reverse=True)
        for name in slowest:
            seconds = pages[name]["seconds"]
            more = f"{milliseconds(seconds)}; CPU {pages[name]['cpu'] * 1000:,.1f} ms; {pages[name]['queries']:.0f} queries"
            yield at_most(f"{database}: {what} {name}, p50", percentile(seconds, 50) * 1000, limit, "ms", binding=binding, more=more)
        if what == "page":
            name = max(pages, key=lambda one: int(pages[one]["queries"]))
            yield at_most(f"{database}: the page with the most queries, {name}", pages[name]["queries"], MOST_QUERIES, "queries")
    for name, searched in found["search"].items():
        seconds = searched["seconds"]
        more = f"p50 {percentile(seconds, 50) * 1000:,.1f} ms; CPU {searched['cpu'] * 1000:,.1f} ms; {searched['queries']:.0f} queries"
        yield at_most(f"{database}: {name}, p95", percentile(seconds, 95) * 1000, SEARCH_MS, "ms", binding=binding, more=more)
