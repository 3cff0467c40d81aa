"""Virtual channels: what joining a large member takes, and what the union adds to a publish in it."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from benchmarks.report import Row, at_most, noted
from benchmarks.workshop import Workshop, channel_of

TITLE = "virtual channels: a union over a large member"
JOIN_SECONDS = 60.0
FOLLOW_SECONDS = 0.1
UNION = "bench-union"


def run(shop: Workshop) -> Iterator[Row]:
    """In processes of their own, as a worker joins and a web process publishes."""
    data = shop.fill()
    shop.say("virtual: joining")
    joined = shop.inside(data, "union", UNION, channel_of(shop.most))
    names = f"{joined['names']:,} names"
    yield at_most(f"joining a member of {shop.most:,} records", joined["seconds"], JOIN_SECONDS, "s", binding=not shop.quick, more=names)
    shop.say("virtual: publishing in the member")
    found = shop.inside(data, "union-publish", UNION, "10" if shop.quick else "30")
    following = statistics.median(found["following"])
    more = f"{found['queries']} queries; the member's own publish {statistics.median(found['both']) - following:.3f} s"
    yield at_most("what the union adds to a publish there, median", following, FOLLOW_SECONDS, "s", binding=not shop.quick, more=more)
    yield noted("the first in a process that has just started", f"{found['first']:.3f} s")
