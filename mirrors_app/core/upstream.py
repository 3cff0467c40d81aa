"""Reads an upstream channel's index: shards (CEP-16), else the compressed or plain repodata.json (CEP-36), one pinned revision of it."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import msgspec
import orjson

from condahub.packages.errors import shown
from condahub.packages.names import check_subdir
from mirrors_app.core.addresses import joined
from mirrors_app.core.compressed import Text, let_go, open_bz2, open_zstd, paged
from mirrors_app.core.errors import UpstreamBroken, UpstreamDenied, UpstreamError, UpstreamMissing
from mirrors_app.core.fetch import MIB, Fetcher
from mirrors_app.core.parts import Validators
from mirrors_app.core.records import (
    RAW_HASH_KEYS,
    BadRecord,
    Refused,
    Section,
    UpstreamRecord,
    make_record,
    record_of,
)
from mirrors_app.core.target import IndexKind, SubdirState

MAX_INDEX_BYTES = 1024 * MIB
MAX_JSON_BYTES = 4096 * MIB
MAX_SHARD_INDEX_BYTES = 128 * MIB
MAX_SHARD_BYTES = 16 * MIB
SHARD_WORKERS = 48
SHARD_HASH_BYTES = 32
# After so many records the text that they were in need not be in memory.
LET_GO_RECORDS = 50_000
V3_ENDINGS = {"conda": ".conda", "tar.bz2": ".tar.bz2"}
FILES: dict[IndexKind, str] = {
    "shards": "repodata_shards.msgpack.zst",
    "zst": "repodata.json.zst",
    "json": "repodata.json",
    "bz2": "repodata.json.bz2",
}
_LOCATIONS = ("base_url", "shards_base_url", "created_at")
_HTML = re.compile(rb"\s*<(?:!doctype|html|\?xml)", re.IGNORECASE)

Standing = Literal["read", "unchanged", "missing", "not_an_index"]


class Entry(NamedTuple):
    """One record as it stands in the index; raw is JSON."""

    filename: str
    section: Section
    raw: msgspec.Raw


@dataclass(frozen=True, slots=True)
class Reading:
    """What came of reading one subdir's index.

    standing: read; unchanged (the state still holds); missing (no such index); not_an_index (reason says what came).
    entries: of a monolithic index, and the text that they lie in; shards: name -> hash of the compressed shard, of a sharded one.
    """

    subdir: str
    standing: Standing
    state: SubdirState
    raw: bytes = b""
    base_url: str = ""
    shards_base_url: str = ""
    entries: tuple[Entry, ...] = ()
    text: Text = b""
    shards: Mapping[str, bytes] = field(default_factory=dict)
    reason: str = ""


class _Index(msgspec.Struct, forbid_unknown_fields=True):
    packages: dict[str, msgspec.Raw] = {}
    conda: dict[str, msgspec.Raw] = msgspec.field(name="packages.conda", default_factory=dict)
    v3: dict[str, dict[str, msgspec.Raw]] = {}
    removed: list[str] = []
    info: dict[str, Any] | None = None
    repodata_version: int = 1


_strict = msgspec.json.Decoder(_Index)
_loose = msgspec.json.Decoder(dict[str, msgspec.Raw])
_KNOWN_KEYS = frozenset({"packages", "packages.conda", "v3", "removed", "info", "repodata_version"})


class _ShardIndex(msgspec.Struct):
    version: int
    info: dict[str, Any]
    shards: dict[str, bytes]


_shard_index = msgspec.msgpack.Decoder(_ShardIndex)


class _Shard(msgspec.Struct):
    packages: dict[str, Any] = {}
    conda: dict[str, Any] = msgspec.field(name="packages.conda", default_factory=dict)
    v3: dict[str, dict[str, Any]] = {}
    removed: list[str] = []


_shard = msgspec.msgpack.Decoder(_Shard)


async def read_index(fetcher: Fetcher, channel_url: str, subdir: str, previous: SubdirState | None, *, shards: bool) -> Reading:
    """Read one subdir's index, conditionally on `previous`; channel_url ends in '/'. shards: whether shards are of use.

    Raises UpstreamError when the upstream does not answer; that there is no index, or none that is one, is a standing.
    """
    check_subdir(subdir)
    kinds: list[IndexKind] = ["shards", "zst", "json", "bz2"] if shards else ["zst", "json", "bz2"]
    wrong = ""
    denied: UpstreamDenied | None = None
    for kind in kinds:
        url = f"{channel_url}{subdir}/{FILES[kind]}"
        same = previous is not None and previous.kind == kind and previous.url == url
        validators = Validators(previous.etag, previous.last_modified) if previous is not None and same else None
        try:
            answer = await fetcher.read(url, max_bytes=MAX_INDEX_BYTES, validators=validators)
        except UpstreamMissing:
            continue
        except UpstreamDenied as error:
            # A bucket says 403 of what it does not have to those who may not list it.
            if not url.startswith("s3:"):
                raise
            denied = error
            continue
        if answer.body is None:
            assert previous is not None
            return Reading(subdir, "unchanged", previous)
        state = SubdirState(
            kind=kind,
            url=url,
            etag=answer.validators.etag,
            last_modified=answer.validators.last_modified,
            digest=hashlib.sha256(answer.body).hexdigest(),
        )
        try:
            return await asyncio.to_thread(parse_index, state, subdir, answer.body, base=joined(answer.url, "./"))
        except (UpstreamBroken, BadRecord) as error:
            wrong = wrong or str(error)
    if wrong:
        return Reading(subdir, "not_an_index", SubdirState(kind="missing"), reason=wrong)
    if denied is not None:
        raise denied
    return Reading(subdir, "missing", SubdirState(kind="missing"), reason="The upstream has no index there.")


def parse_index(state: SubdirState, subdir: str, raw: bytes, *, base: str) -> Reading:
    """Take apart the bytes of an index of the state's kind. base: the folder it was found in. Raises UpstreamBroken, UpstreamTooLarge."""
    what = f"{subdir}/{FILES[state.kind]}"
    if _HTML.match(raw):
        raise UpstreamBroken(f"{what} is a web page, not an index.")
    if state.kind == "shards":
        return _read_shard_index(state, subdir, raw, base, what)
    if state.kind == "zst":
        return _read_json(state, subdir, raw, paged(open_zstd(raw, max_bytes=MAX_JSON_BYTES, what=what)), base, what)
    if state.kind == "bz2":
        return _read_json(state, subdir, raw, paged(open_bz2(raw, max_bytes=MAX_JSON_BYTES, what=what)), base, what)
    return _read_json(state, subdir, raw, raw, base, what)


def _read_shard_index(state: SubdirState, subdir: str, raw: bytes, base: str, what: str) -> Reading:
    try:
        index = _shard_index.decode(open_zstd(raw, max_bytes=MAX_SHARD_INDEX_BYTES, what=what))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamBroken(f"{what} is not a shard index.") from error
    if index.version != 1:
        raise UpstreamBroken(f"{what} is of version {index.version}, which is not known.")
    if index.info.get("subdir", subdir) != subdir:
        raise UpstreamBroken(f"{what} is of another subdir.")
    if any(len(sha256) != SHARD_HASH_BYTES for sha256 in index.shards.values()):
        raise UpstreamBroken(f"{what} holds what is no sha256.")
    base_url = _folder(base, index.info.get("base_url"))
    return Reading(
        subdir,
        "read",
        _with_extra(state, {"info": index.info}, base_url),
        raw,
        base_url=base_url,
        shards_base_url=_folder(base, index.info.get("shards_base_url") or "./shards/"),
        shards=index.shards,
    )


def _read_json(state: SubdirState, subdir: str, raw: bytes, text: Text, base: str, what: str) -> Reading:
    if _HTML.match(text):
        raise UpstreamBroken(f"{what} is a web page, not an index.")
    try:
        index, extra = _decoded(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamBroken(f"{what} is not an index: {str(error)[:160]}.") from error
    if index is None:
        raise UpstreamBroken(f"{what} is JSON, but not an index.")
    info = index.info or {}
    if info.get("subdir", subdir) != subdir:
        raise UpstreamBroken(f"{what} is of another subdir.")
    base_url = _folder(base, info.get("base_url"))
    return Reading(
        subdir,
        "read",
        _with_extra(state, {**extra, "info": info}, base_url),
        raw,
        base_url=base_url,
        entries=tuple(_entries(index)),
    )


def _decoded(text: Text) -> tuple[_Index | None, dict[str, Any]]:
    """The index and its other keys; None when no key is one of an index."""
    try:
        # The quick way, in one pass, where there are no other keys.
        index = _strict.decode(text)
        extra: dict[str, Any] = {}
    except msgspec.ValidationError:
        top = _loose.decode(text)
        extra = {key: orjson.loads(bytes(value)) for key, value in top.items() if key not in _KNOWN_KEYS}
        index = msgspec.json.decode(
            b"{" + b",".join(orjson.dumps(key) + b":" + bytes(value) for key, value in top.items() if key in _KNOWN_KEYS) + b"}",
            type=_Index,
        )
    is_index = index.packages or index.conda or index.v3 or index.info is not None or _names_a_section(text)
    return (index if is_index else None), extra


def _names_a_section(text: Text) -> bool:
    return bool(re.search(rb'"(?:packages|packages\.conda|v3)"\s*:', text[: 64 * 1024]))


def _entries(index: _Index) -> Iterator[Entry]:
    for filename, raw in index.packages.items():
        yield Entry(filename, "packages", raw)
    for filename, raw in index.conda.items():
        yield Entry(filename, "packages.conda", raw)
    for kind, stems in index.v3.items():
        for stem, raw in stems.items():
            filename = stem + V3_ENDINGS.get(kind, f".{kind}")
            # What older clients see as well needs no place of its own.
            if filename not in index.packages and filename not in index.conda:
                yield Entry(filename, "v3", raw)


def _folder(base: str, given: object) -> str:
    return joined(base, given.rstrip("/") + "/") if isinstance(given, str) and given else base


def _with_extra(state: SubdirState, extra: dict[str, Any], base_url: str) -> SubdirState:
    info = {key: value for key, value in (extra.get("info") or {}).items() if key not in _LOCATIONS}
    text = orjson.dumps({**extra, "info": info}, option=orjson.OPT_SORT_KEYS)
    return msgspec.structs.replace(state, extra=text, base_url=base_url)


def records_of(reading: Reading, entries: Iterable[Entry], refused: list[Refused]) -> Iterator[UpstreamRecord]:
    """The records of some entries; those that can't be taken go to `refused` instead."""
    for number, entry in enumerate(entries, 1):
        if not number % LET_GO_RECORDS:
            let_go(reading.text)
        try:
            _section_fits(entry.filename, entry.section)
            yield make_record(
                subdir=reading.subdir,
                filename=entry.filename,
                section=entry.section,
                raw=memoryview(entry.raw),
                base_url=reading.base_url,
            )
        except BadRecord as error:
            refused.append(Refused(reading.subdir, shown(entry.filename), str(error)))


class ShardContent(NamedTuple):
    """One name's records. broken: the shard itself could not be had or read; then there are none and the next run asks again."""

    records: list[UpstreamRecord]
    refused: list[Refused]
    broken: bool = False


async def read_shards(fetcher: Fetcher, reading: Reading, names: Iterable[str]) -> dict[str, ShardContent]:
    """name -> what its shard holds, each fetched and its sha256 verified. One that can't be had never stops the others."""
    found: dict[str, ShardContent] = {}
    waiting = iter(names)

    async def worker() -> None:
        for name in waiting:
            found[name] = await _one_shard(fetcher, reading, name)

    async with asyncio.TaskGroup() as group:
        for _ in range(SHARD_WORKERS):
            group.create_task(worker())
    return found


async def _one_shard(fetcher: Fetcher, reading: Reading, name: str) -> ShardContent:
    sha256 = reading.shards[name]
    url = f"{reading.shards_base_url}{sha256.hex()}.msgpack.zst"
    try:
        body = (await fetcher.read(url, max_bytes=MAX_SHARD_BYTES)).body or b""
        if hashlib.sha256(body).digest() != sha256:
            raise UpstreamBroken("Its shard is not what the index promised.")
        return _shard_content(reading, name, open_zstd(body, max_bytes=MAX_SHARD_BYTES, what="its shard"))
    except UpstreamError as error:
        return ShardContent([], [Refused(reading.subdir, shown(name), error.detail)], broken=True)


def _shard_content(reading: Reading, name: str, body: bytes) -> ShardContent:
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
                content.records.append(_shard_record(reading, name, stem + ending, section, table))
            except BadRecord as error:
                content.refused.append(Refused(reading.subdir, shown(stem + ending), str(error)))
    return content


def _shard_record(reading: Reading, name: str, filename: str, section: Section, table: Any) -> UpstreamRecord:
    _section_fits(filename, section)
    if isinstance(table, dict):
        for key in RAW_HASH_KEYS:
            if isinstance(table.get(key), bytes):
                table[key] = table[key].hex()
    # A shard has no spelling of its own in JSON: the canonical one stands for it.
    record = record_of(subdir=reading.subdir, filename=filename, section=section, table=table, base_url=reading.base_url, spelling=b"")
    if record.name != name:
        raise BadRecord("it stands in the shard of another name")
    return record


def _section_fits(filename: str, section: Section) -> None:
    if section != "v3" and (section == "packages.conda") != filename.endswith(".conda"):
        raise BadRecord(f"it stands in '{section}', where such files do not belong")
