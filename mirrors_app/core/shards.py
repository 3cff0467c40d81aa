"""Takes a shard (CEP-16) apart into records, as the upstream sent it; knows no network."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from condahub.packages.errors import shown
from mirrors_app.core.compressed import open_zstd
from mirrors_app.core.errors import UpstreamBroken, UpstreamError
from mirrors_app.core.records import RAW_HASH_KEYS, V3_ENDINGS, BadRecord, Refused, Section, UpstreamRecord, check_section, record_of

MAX_SHARD_BYTES = 16 * 2**20


class Place(NamedTuple):
    """Of which index records are. base_url: the folder of its bytes, absolute."""

    subdir: str
    base_url: str


class ShardContent(NamedTuple):
    """One name's records. broken: the shard itself could not be had or read; then there are none and the next run asks again."""

    records: list[UpstreamRecord]
    refused: list[Refused]
    broken: bool = False


class _Shard(msgspec.Struct):
    packages: dict[str, Any] = {}
    conda: dict[str, Any] = msgspec.field(name="packages.conda", default_factory=dict)
    v3: dict[str, dict[str, Any]] = {}
    removed: list[str] = []


_shard = msgspec.msgpack.Decoder(_Shard)


def broken(place: Place, name: str, reason: str) -> ShardContent:
    return ShardContent([], [Refused(place.subdir, shown(name), reason)], broken=True)


def content_of(place: Place, name: str, body: bytes) -> ShardContent:
    """body: compressed, and what the index promised."""
    try:
        return _content(place, name, open_zstd(body, max_bytes=MAX_SHARD_BYTES, what="its shard"))
    except UpstreamError as error:
        return broken(place, name, error.detail)


def _content(place: Place, name: str, body: bytes) -> ShardContent:
    try:
        shard = _shard.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamBroken("Its shard can't be read.") from error
    sections: list[tuple[Section, str, dict[str, Any]]] = [("packages", "", shard.packages), ("packages.conda", "", shard.conda)]
    sections += [("v3", V3_ENDINGS.get(kind, f".{kind}"), stems) for kind, stems in shard.v3.items()]
    content = ShardContent([], [])
    for section, ending, tables in sections:
        for stem, table in tables.items():
            if section == "v3" and (stem + ending in shard.packages or stem + ending in shard.conda):
                continue
            try:
                content.records.append(_record(place, name, stem + ending, section, table))
            except BadRecord as error:
                content.refused.append(Refused(place.subdir, shown(stem + ending), str(error)))
    return content


def _record(place: Place, name: str, filename: str, section: Section, table: Any) -> UpstreamRecord:
    check_section(filename, section)
    if isinstance(table, dict):
        for key in RAW_HASH_KEYS:
            if isinstance(table.get(key), bytes):
                table[key] = table[key].hex()
    # A shard has no spelling of its own in JSON: the canonical one stands for it.
    record = record_of(subdir=place.subdir, filename=filename, section=section, table=table, base_url=place.base_url, spelling=b"")
    if record.name != name:
        raise BadRecord("it stands in the shard of another name")
    return record
