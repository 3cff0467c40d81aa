"""Reads many records in a process beside the run's own: two cores take half the time.

The child gets batches on stdin (`_Batch`) and answers each on stdout (list of `_Found`), both in msgpack behind their length in four
bytes. It sees no secrets, may write no file, and serves one index alone. What it can't do any more, the run's own process does.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple, Self

import msgspec

import condahub
from condahub.packages.errors import shown
from mirrors_app.core.records import SECTIONS, BadRecord, Refused, Section, UpstreamRecord, check_section, make_record
from mirrors_app.core.shards import Place, ShardContent, content_of

# Below it the start of a child takes longer than it saves.
WORTH_A_CHILD_RECORDS = 20_000
WORTH_A_CHILD_SHARDS = 1_000
PIECE_RECORDS = 2_000
LENGTH_BYTES = 4
STOP_SECONDS = 5.0
MAX_ADDRESS_SPACE_BYTES = 1536 * 2**20
PASSED_ON_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "LANG", "SYSTEMROOT")


class Entry(NamedTuple):
    """One record as it stands in the index; raw is JSON."""

    filename: str
    section: Section
    raw: msgspec.Raw


class _Batch(msgspec.Struct, array_like=True):
    """shards: (name, compressed); records: (filename, place of its section in SECTIONS, JSON)."""

    place: Place
    shards: list[tuple[str, bytes]] = []
    records: list[tuple[str, int, bytes | memoryview]] = []


class _Given(msgspec.Struct, array_like=True):
    """`_Batch` as the child reads it."""

    place: Place
    shards: list[tuple[str, bytes]] = []
    records: list[tuple[str, int, bytes]] = []


class _Found(msgspec.Struct, array_like=True):
    """records: (filename, place of its section, size, raw, spelling, digest, own_url, attested); refused: (filename, reason)."""

    records: list[tuple[str, int, int, bytes, bytes, bytes, str, str]]
    refused: list[tuple[str, str]]
    broken: bool = False


_batches = msgspec.msgpack.Decoder(_Given)
_answers = msgspec.msgpack.Decoder(list[_Found])
_encoder = msgspec.msgpack.Encoder()


class Child:
    """A context manager; used by one thread at a time."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def __enter__(self) -> Self:
        environment = {name: os.environ[name] for name in PASSED_ON_VARIABLES if name in os.environ}
        environment["PYTHONPATH"] = str(Path(condahub.__file__).resolve().parent.parent)
        self._process = subprocess.Popen(
            [sys.executable, "-s", "-P", "-m", "mirrors_app.core.beside"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            cwd="/",
            start_new_session=True,
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        with suppress(OSError):
            process.stdin.close()
        process.stdout.close()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def shards(self, items: Sequence[tuple[str, bytes]]) -> list[ShardContent]:
        """(name, compressed): what each holds."""
        found = self._ask(_Batch(self._place, shards=list(items)))
        if found is None:
            return [content_of(self._place, name, body) for name, body in items]
        return [self._content(one) for one in found]

    def records(self, entries: Sequence[Entry]) -> ShardContent:
        """Of a whole index."""
        found = self._ask(
            _Batch(self._place, records=[(one.filename, SECTIONS.index(one.section), memoryview(one.raw)) for one in entries])
        )
        return _records_of(self._place, entries) if found is None else self._content(found[0])

    def _content(self, found: _Found) -> ShardContent:
        (subdir, base_url), intern = self._place, sys.intern
        records = [
            UpstreamRecord(
                *(subdir, filename, SECTIONS[section], intern(filename.rsplit("-", 2)[0]), size, raw, spelling, digest, base_url, own_url),
                attested=attested,
            )
            for filename, section, size, raw, spelling, digest, own_url, attested in found.records
        ]
        return ShardContent(records, [Refused(subdir, *one) for one in found.refused], found.broken)

    def _ask(self, batch: _Batch) -> list[_Found] | None:
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        try:
            _write(process.stdin, batch)
            data = _read(process.stdout)
        except OSError:
            return None
        return None if data is None else _answers.decode(data)


def read_records(place: Place, entries: Sequence[Entry], refused: list[Refused]) -> Iterator[UpstreamRecord]:
    """The records of some entries, in their order; those that can't be taken go to `refused` instead."""
    rest = iter(entries)
    if len(entries) < WORTH_A_CHILD_RECORDS:
        while some := list(islice(rest, PIECE_RECORDS)):
            yield from _told(_records_of(place, some), refused)
        return
    # Ended before the child is: its thread waits for it alone.
    with Child(place) as child, ThreadPoolExecutor(1, "record-reader") as thread:
        while theirs := list(islice(rest, PIECE_RECORDS)):
            asked = thread.submit(child.records, theirs)
            mine = _records_of(place, list(islice(rest, PIECE_RECORDS)))
            yield from _told(asked.result(), refused)
            yield from _told(mine, refused)


def _told(content: ShardContent, refused: list[Refused]) -> list[UpstreamRecord]:
    refused += content.refused
    return content.records


def _records_of(place: Place, entries: Sequence[Entry]) -> ShardContent:
    content = ShardContent([], [])
    for filename, section, raw in entries:
        try:
            content.records.append(_record(place, filename, section, memoryview(raw)))
        except BadRecord as error:
            content.refused.append(Refused(place.subdir, shown(filename), str(error)))
    return content


def _record(place: Place, filename: str, section: Section, raw: bytes | memoryview) -> UpstreamRecord:
    check_section(filename, section)
    return make_record(subdir=place.subdir, filename=filename, section=section, raw=raw, base_url=place.base_url)


def _answer(batch: _Given) -> list[_Found]:
    if batch.shards:
        return [_found(content_of(batch.place, name, body)) for name, body in batch.shards]
    entries = [Entry(filename, SECTIONS[section], msgspec.Raw(raw)) for filename, section, raw in batch.records]
    return [_found(_records_of(batch.place, entries))]


def _found(content: ShardContent) -> _Found:
    return _Found(
        [
            (one.filename, SECTIONS.index(one.section), one.size, one.raw, one.spelling, one.digest, one.own_url, one.attested)
            for one in content.records
        ],
        [(one.filename, one.reason) for one in content.refused],
        content.broken,
    )


def _write(out: IO[bytes], message: object) -> None:
    data = _encoder.encode(message)
    out.write(len(data).to_bytes(LENGTH_BYTES, "big"))
    out.write(data)
    out.flush()


def _read(source: IO[bytes]) -> bytes | None:
    """None at the end."""
    head = source.read(LENGTH_BYTES)
    size = int.from_bytes(head, "big")
    data = source.read(size) if len(head) == LENGTH_BYTES else b""
    return data if size and len(data) == size else None


def main() -> None:
    """Answer batches until stdin ends."""
    resource.setrlimit(resource.RLIMIT_AS, (MAX_ADDRESS_SPACE_BYTES, MAX_ADDRESS_SPACE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    while (data := _read(sys.stdin.buffer)) is not None:
        _write(sys.stdout.buffer, _answer(_batches.decode(data)))


if __name__ == "__main__":
    main()
