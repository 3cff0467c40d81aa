"""Reads a channel's sharded index through its door, as a client does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from channels_app import doors
from channels_app.index import answers, maps
from channels_app.index.render import zstd_decompress
from channels_app.virtual import serving
from tests.channels_app.doors_of import ask


@dataclass(frozen=True)
class Index:
    """One subdir: shards by name, records by filename."""

    shards: dict[str, bytes]
    records: dict[str, dict[str, Any]]


def index_of(channel: str, subdir: str, **headers: str) -> Index:
    reply = ask(f"/channels/{channel}/{subdir}/repodata_shards.msgpack.zst", **headers)
    assert reply.status == 200, reply
    shards = msgspec.msgpack.decode(zstd_decompress(reply.body))["shards"]
    records: dict[str, dict[str, Any]] = {}
    for sha256 in shards.values():
        shard = ask(f"/channels/{channel}/{subdir}/shards/{sha256.hex()}.msgpack.zst", **headers)
        assert shard.status == 200, shard
        decoded = msgspec.msgpack.decode(zstd_decompress(shard.body))
        records |= {**decoded["packages"], **decoded["packages.conda"]}
    return Index(shards, records)


def packages_of(index: Index) -> set[str]:
    return set(index.records)


def forget() -> None:
    """As a process that has just started."""
    doors.forget_all()
    serving.forget_all()
    maps.forget_all()
    answers.forget_all()
