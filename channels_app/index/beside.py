"""Renders many names in processes beside this one, so that its own core reads and writes rows meanwhile.

A child knows the renderer and nothing else: no settings, no database. It gets batches, as (name, rows of its files), and answers each by a
list of `RenderedName`, None for what is not shown.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import NamedTuple

import msgspec

from channels_app.index.render import FileRow, RenderedName, render_name
from condahub.answering import Process, answer_all

# Below it the start of a child takes longer than it saves.
WORTH_A_CHILD_NAMES = 1000
MAX_CHILDREN = 3
# Batches that wait for each child: it never waits for the next one.
AHEAD = 2


class Key(NamedTuple):
    subdir: str
    name: str


Batch = dict[Key, list[FileRow]]
Rendered = dict[Key, RenderedName | None]

_batches = msgspec.msgpack.Decoder(list[tuple[str, list[FileRow]]])
_answers = msgspec.msgpack.Decoder(list[RenderedName | None])


def render(batch: Batch) -> Rendered:
    """Shard and fragment of each name; None for a name with nothing to show."""
    return {key: render_name(key.name, rows) for key, rows in batch.items()}


def render_all(batches: Iterable[Batch], *, names: int) -> Iterator[Rendered]:
    """The same of many batches, in their order. names: how many there are in all."""
    if names < WORTH_A_CHILD_NAMES:
        yield from map(render, batches)
        return
    count = max(1, min(MAX_CHILDREN, (os.cpu_count() or 1) - 1))
    with ExitStack() as stack:
        children = [stack.enter_context(_Child()) for _ in range(count)]
        # Ended before the children are: a thread has one of them, and waits for it alone.
        threads = [stack.enter_context(ThreadPoolExecutor(1, "shard-renderer")) for _ in children]
        waiting: deque[Future[Rendered]] = deque()
        for number, batch in enumerate(batches):
            place = number % count
            waiting.append(threads[place].submit(children[place].render, batch))
            if len(waiting) >= AHEAD * count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


class _Child(Process):
    def __init__(self) -> None:
        super().__init__("channels_app.index.beside")

    def render(self, batch: Batch) -> Rendered:
        """By the child; by this process once the child is gone."""
        data = self.ask([(key.name, rows) for key, rows in batch.items()])
        return render(batch) if data is None else dict(zip(batch, _answers.decode(data), strict=True))


def _answer(data: bytes) -> list[RenderedName | None]:
    return [render_name(name, rows) for name, rows in _batches.decode(data)]


if __name__ == "__main__":
    answer_all(_answer)
