"""Renders and writes the shards of many names, most of them in a process beside the run's own where there are many."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path

import msgspec

from condahub.answering import Process, answer_all
from mirrors_app.core.index_files import Shown, render_shard, write_once

# Below it the start of a child takes longer than it saves.
WORTH_A_CHILD_NAMES = 10_000
BATCH_NAMES = 100
# Of so many more this process makes the shards itself, as it also reads the records of all.
OWN_NAMES = 35
# Batches that wait for the child: it never waits for the next one.
AHEAD_BATCHES = 2

Name = tuple[str, Sequence[Shown]]

_batches = msgspec.msgpack.Decoder(tuple[str, list[tuple[str, list[Shown]]]])
_answers = msgspec.msgpack.Decoder(list[bytes])


def write_shards(folder: Path, names: Iterable[Name], *, count: int) -> Iterator[tuple[str, bytes]]:
    """Each name and the sha256 of its shard, which is in the folder then, in no order. count: how many names there are."""
    rest = iter(names)
    if count < WORTH_A_CHILD_NAMES:
        for name, records in rest:
            yield name, write_shard(folder, records)
        return
    waiting: deque[tuple[Sequence[Name], Future[list[bytes]]]] = deque()
    # Ended before the child is: its thread waits for it alone.
    with Process("mirrors_app.core.shards_beside") as child, ThreadPoolExecutor(1, "shard-writer") as thread:
        while some := list(islice(rest, BATCH_NAMES)):
            waiting.append((some, thread.submit(_by_child, child, folder, some)))
            yield from [(name, write_shard(folder, records)) for name, records in islice(rest, OWN_NAMES)]
            if len(waiting) > AHEAD_BATCHES:
                yield from _written(*waiting.popleft())
        while waiting:
            yield from _written(*waiting.popleft())


def _written(names: Sequence[Name], found: Future[list[bytes]]) -> Iterator[tuple[str, bytes]]:
    return zip((name for name, _ in names), found.result(), strict=True)


def _by_child(child: Process, folder: Path, names: Sequence[Name]) -> list[bytes]:
    data = child.ask((str(folder), names))
    if data is not None:
        with suppress(msgspec.DecodeError):
            return _answers.decode(data)
    return [write_shard(folder, records) for _, records in names]


def write_shard(folder: Path, records: Sequence[Shown]) -> bytes:
    """The sha256 of the shard of these records."""
    sha256, payload = render_shard(records)
    write_once(folder / f"{sha256.hex()}.msgpack.zst", payload)
    return sha256


def _answer(data: bytes) -> list[bytes]:
    folder, names = _batches.decode(data)
    return [write_shard(Path(folder), records) for _, records in names]


if __name__ == "__main__":
    answer_all(_answer, writes_files=True)
