"""Policy: how long an edit takes to reach the shards of the largest channel, whatever share of it is hidden."""

from __future__ import annotations

import json
from collections.abc import Iterator

from benchmarks.report import Row, at_most
from benchmarks.workshop import Workshop, channel_of

TITLE = "policy: from an edit to one new revision"
SHARDS_SECONDS = 60.0
MIB = 1024**2
# What each hides of a channel as `big_channel` makes it; the last shows all of it again.
EDITS = {
    "an edit that hides nothing": {"size": {"max_bytes": 10**12}},
    "a sixth of the records, in nearly every name": {"licenses": {"denied": ["GPL-*"]}},
    "everything held": {"cooldown": {"days": 3650}},
    "no policy any more": {},
}


def run(shop: Workshop) -> Iterator[Row]:
    """Each edit in a process of its own, as a worker of the quick lane applies it."""
    data = shop.fill()
    for what, rules in EDITS.items():
        shop.say(f"policy: {what}")
        found = shop.inside(data, "policy", channel_of(shop.most), json.dumps(rules))
        more = f"{found['changed']:,} files changed, {found['peak_bytes'] / MIB:,.0f} MiB"
        yield at_most(f"{what}, {shop.most:,} records", found["seconds"], SHARDS_SECONDS, "s", binding=not shop.quick, more=more)
