"""Reads an upstream channel's index: shards (CEP-16), else the compressed or plain repodata.json (CEP-36), one pinned revision of it."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
import orjson

from condahub.packages.names import check_subdir
from mirrors_app.core.addresses import joined
from mirrors_app.core.beside import WORTH_A_CHILD_SHARDS, Child, Entry, read_records
from mirrors_app.core.compressed import Text, let_go, open_bz2, open_zstd, paged
from mirrors_app.core.errors import UpstreamBroken, UpstreamDenied, UpstreamError, UpstreamMissing
from mirrors_app.core.fetch import MIB, Fetcher
from mirrors_app.core.parts import Validators
from mirrors_app.core.records import V3_ENDINGS, BadRecord, Refused, UpstreamRecord
from mirrors_app.core.shards import MAX_SHARD_BYTES, Place, ShardContent, broken, content_of
from mirrors_app.core.target import IndexKind, SubdirState

MAX_INDEX_BYTES = 1024 * MIB
MAX_JSON_BYTES = 4096 * MIB
MAX_SHARD_INDEX_BYTES = 128 * MIB
SHARD_WORKERS = 48
# So many are read in one step, and so many wait for it at most.
BATCH_SHARDS = 64
AHEAD_SHARDS = 256
SHARD_HASH_BYTES = 32
# After so many records the text that they were in need not be in memory.
LET_GO_RECORDS = 50_000
FILES: dict[IndexKind, str] = {
    "shards": "repodata_shards.msgpack.zst",
    "zst": "repodata.json.zst",
    "json": "repodata.json",
    "bz2": "repodata.json.bz2",
}
_LOCATIONS = ("base_url", "shards_base_url", "created_at")
_HTML = re.compile(rb"\s*<(?:!doctype|html|\?xml)", re.IGNORECASE)

Standing = Literal["read", "unchanged", "missing", "not_an_index"]


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

    @property
    def place(self) -> Place:
        return Place(self.subdir, self.base_url)


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
        text=text,
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


def records_of(reading: Reading, entries: list[Entry], refused: list[Refused]) -> Iterator[UpstreamRecord]:
    """The records of some entries; those that can't be taken go to `refused` instead. The list is emptied meanwhile."""
    for number, record in enumerate(read_records(reading.place, entries, refused), 1):
        if not number % LET_GO_RECORDS:
            let_go(reading.text)
        yield record


async def read_shards(fetcher: Fetcher, reading: Reading, names: Iterable[str]) -> dict[str, ShardContent]:
    """name -> what its shard holds, each fetched and its sha256 verified. One that can't be had never stops the others."""
    wanted = list(names)
    found: dict[str, ShardContent] = {}
    waiting = iter(wanted)
    with ExitStack() as stack:
        child = stack.enter_context(Child(reading.place)) if len(wanted) >= WORTH_A_CHILD_SHARDS else None
        thread = stack.enter_context(ThreadPoolExecutor(1, "shard-reader"))
        bodies: asyncio.Queue[tuple[str, bytes] | None] = asyncio.Queue(maxsize=AHEAD_SHARDS)

        async def worker() -> None:
            for name in waiting:
                try:
                    body = await _shard_body(fetcher, reading, name)
                except UpstreamError as error:
                    found[name] = broken(reading.place, name, error.detail)
                    continue
                if child is None:
                    found[name] = content_of(reading.place, name, body)
                else:
                    await bodies.put((name, body))

        async def parse(child: Child) -> None:
            while some := await _next_of(bodies):
                contents = await asyncio.get_running_loop().run_in_executor(thread, child.shards, some)
                found.update(zip((name for name, _ in some), contents, strict=True))

        async with asyncio.TaskGroup() as parsing:
            if child is not None:
                parsing.create_task(parse(child))
            async with asyncio.TaskGroup() as fetching:
                for _ in range(SHARD_WORKERS):
                    fetching.create_task(worker())
            await bodies.put(None)
    return found


async def _next_of(bodies: asyncio.Queue[tuple[str, bytes] | None]) -> list[tuple[str, bytes]]:
    """Some of those that wait, one at least; none at the end."""
    some: list[tuple[str, bytes]] = []
    while not some or (len(some) < BATCH_SHARDS and not bodies.empty()):
        one = await bodies.get()
        if one is None:
            if some:
                await bodies.put(None)
            break
        some.append(one)
    return some


async def _shard_body(fetcher: Fetcher, reading: Reading, name: str) -> bytes:
    """Compressed. Raises UpstreamError, also where it is not what the index promised."""
    sha256 = reading.shards[name]
    url = f"{reading.shards_base_url}{sha256.hex()}.msgpack.zst"
    body = (await fetcher.read(url, max_bytes=MAX_SHARD_BYTES)).body or b""
    if hashlib.sha256(body).digest() != sha256:
        raise UpstreamBroken("Its shard is not what the index promised.")
    return body
