"""What the renderer writes depends on nothing but what it is given."""

from __future__ import annotations

from channels_app.index.render import shard_index


def test_a_shard_index_is_the_same_in_whatever_order_its_names_come() -> None:
    names = {name: bytes(32) for name in ("tool", "base", "zlib")}
    orders = (names, dict(reversed(names.items())), dict(sorted(names.items())))
    made = {shard_index(subdir="noarch", shards=shards, created_at="2026-01-01T00:00:00.000Z") for shards in orders}
    assert len(made) == 1
