"""Ingest: how long it takes to record many packages at once and to publish them as one revision."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.report import Row, noted
from benchmarks.workshop import LARGE_FILES, Workshop

TITLE = "ingest"
MIB = 1024**2


def run(shop: Workshop) -> Iterator[Row]:
    """The steps of filling the largest channel."""
    found = shop.found_while_filling(shop.most)
    rows, stage1 = found["rows"]["seconds"], found["publish"]["seconds"]
    yield noted(f"{shop.most:,} rows recorded", f"{rows:.1f} s", f"{shop.most / rows:,.0f}/s")
    yield noted("published in shards, one revision", f"{stage1:.1f} s", f"{shop.most / stage1:,.0f}/s")
    for kind in LARGE_FILES:
        step = found[kind]
        sizes = f"{step['content_bytes'] / MIB:,.0f} MiB, {step['stored_bytes'] / MIB:,.0f} MiB as .zst"
        yield noted(f"{kind} ({sizes})", f"{step['seconds']:.1f} s")
