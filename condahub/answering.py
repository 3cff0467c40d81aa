"""A process beside the run's own that answers messages in turn: msgpack on stdin and stdout, each behind its length in four bytes.

It sees no secrets, and ends with the run.
"""

from __future__ import annotations

import gc
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import msgspec

import condahub

# For `gc.set_threshold`, where most objects are in no cycles: those made between two looks at the young ones; young looks between two at
# the older ones; those between two at all.
SELDOM = (50_000, 10, 1_000)
LENGTH_BYTES = 4
STOP_SECONDS = 5.0
MAX_ADDRESS_SPACE_BYTES = 1536 * 2**20
PASSED_ON_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "LANG", "SYSTEMROOT")

_encoder = msgspec.msgpack.Encoder()


class Process:
    """A context manager over `python -m module`, which calls `answer_all`; used by one thread at a time."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __enter__(self) -> Self:
        environment = {name: os.environ[name] for name in PASSED_ON_VARIABLES if name in os.environ}
        environment["PYTHONPATH"] = str(Path(condahub.__file__).resolve().parent.parent)
        self._process = subprocess.Popen(
            [sys.executable, "-s", "-P", "-m", self._module],
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

    def ask(self, message: object) -> bytes | None:
        """The answer, to be decoded; None once the process is gone: then its work is for the one who asks."""
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        try:
            _write(process.stdin, message)
            return _read(process.stdout)
        except OSError:
            return None


def answer_all(answer: Callable[[bytes], object], *, writes_files: bool = False) -> None:
    """In the child: answer messages until stdin ends."""
    gc.set_threshold(*SELDOM)
    resource.setrlimit(resource.RLIMIT_AS, (MAX_ADDRESS_SPACE_BYTES, MAX_ADDRESS_SPACE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not writes_files:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    while (data := _read(sys.stdin.buffer)) is not None:
        _write(sys.stdout.buffer, answer(data))


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
