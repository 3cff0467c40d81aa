"""Renders many names in processes beside this one, so that its own core reads and writes rows meanwhile.

A child knows the renderer and nothing else: no settings, no database. It reads batches on stdin (`_Batch`) and answers each on stdout
(list of `RenderedName`, None for what is not shown), both in msgpack behind their length in four bytes.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple, Self

import msgspec

import channels_app
from channels_app.index.render import FileRow, RenderedName, render_name

# Below it the start of a child takes longer than it saves.
WORTH_A_CHILD_NAMES = 1000
MAX_CHILDREN = 3
# Batches that wait for each child: it never waits for the next one.
AHEAD = 2
# Records are in no cycles: to look for garbage in them takes a child as long as half of its work.
OBJECTS_BETWEEN_COLLECTIONS = 50_000
LENGTH_BYTES = 4
STOP_SECONDS = 5.0
PASSED_ON_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "LANG", "SYSTEMROOT")


class Key(NamedTuple):
    subdir: str
    name: str


Batch = dict[Key, list[FileRow]]
Rendered = dict[Key, RenderedName | None]

_batches = msgspec.msgpack.Decoder(list[tuple[str, list[FileRow]]])
_answers = msgspec.msgpack.Decoder(list[RenderedName | None])
_encoder = msgspec.msgpack.Encoder()


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


class _Child:
    """A context manager; used by one thread at a time."""

    def __enter__(self) -> Self:
        environment = {name: os.environ[name] for name in PASSED_ON_VARIABLES if name in os.environ}
        environment["PYTHONPATH"] = str(Path(channels_app.__file__).resolve().parent.parent)
        self._process = subprocess.Popen(
            [sys.executable, "-s", "-P", "-m", "channels_app.index.beside"],
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

    def render(self, batch: Batch) -> Rendered:
        """By the child; by this process once the child is gone."""
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        try:
            _write(process.stdin, [(key.name, rows) for key, rows in batch.items()])
            data = _read(process.stdout)
            if data is not None:
                return dict(zip(batch, _answers.decode(data), strict=True))
        except OSError:
            pass
        return render(batch)


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
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    while (data := _read(sys.stdin.buffer)) is not None:
        _write(sys.stdout.buffer, [render_name(name, rows) for name, rows in _batches.decode(data)])


if __name__ == "__main__":
    main()
