"""Reads many records in a process beside the run's own: two cores take half the time.

The child gets `_Batch`es and answers each by a list of `_Found`. It may write no file. What it can't do any more, the run's own process
does.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import msgspec

from condahub.answering import Process, answer_all
from condahub.packages.errors import shown
from mirrors_app.core.records import SECTIONS, BadRecord, Refused, Section, UpstreamRecord, check_section, make_record
from mirrors_app.core.shards import Place, ShardContent, content_of

# Below it the start of a child takes longer than it saves.
WORTH_A_CHILD_RECORDS = 20_000
WORTH_A_CHILD_SHARDS = 10_000
PIECE_RECORDS = 2_000


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


class Child(Process):
    """Reads records of one index."""

    def __init__(self, place: Place) -> None:
        super().__init__("mirrors_app.core.beside")
        self._place = place

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
        data = self.ask(batch)
        return None if data is None else _answers.decode(data)


def read_records(place: Place, entries: list[Entry], refused: list[Refused]) -> Iterator[UpstreamRecord]:
    """The records of some entries, in their order; those that can't be taken go to `refused` instead. The list is emptied meanwhile."""
    is_worth_a_child = len(entries) >= WORTH_A_CHILD_RECORDS
    entries.reverse()
    if not is_worth_a_child:
        while entries:
            yield from _told(_records_of(place, _taken(entries)), refused)
        return
    # Ended before the child is: its thread waits for it alone.
    with Child(place) as child, ThreadPoolExecutor(1, "record-reader") as thread:
        while entries:
            asked = thread.submit(child.records, _taken(entries))
            mine = _records_of(place, _taken(entries))
            yield from _told(asked.result(), refused)
            yield from _told(mine, refused)


def _taken(entries: list[Entry]) -> list[Entry]:
    """The next ones, which are at the end."""
    return [entries.pop() for _ in range(min(PIECE_RECORDS, len(entries)))]


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


if __name__ == "__main__":
    answer_all(lambda data: _answer(_batches.decode(data)))
