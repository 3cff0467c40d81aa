"""Reads small packages in a child process of the run's own, many of them one after the other, beside the process that downloads.

The child gets batches on stdin and answers each on stdout, both in msgpack behind their length in four bytes (`_Batch`; as many
`_Answer`s). It sees no secrets, may write no file, and serves one run alone.
"""

from __future__ import annotations

import asyncio
import io
import os
import resource
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

import msgspec

import condahub
from condahub.errors import HubError
from condahub.packages.child import MAX_ADDRESS_SPACE_BYTES, Refusal
from condahub.packages.errors import BY_CODE, BadFilename, PackageBomb, PackageSlow
from condahub.packages.identity import Identity, read_identity
from condahub.packages.limits import Limits
from condahub.packages.pool import IN_PROCESS_LIMITS, IN_PROCESS_MAX_BYTES, PASSED_ON_VARIABLES, inspect
from condahub.packages.reader import PackageInfo, read_package
from mirrors_app.core.target import Temporary

MAX_FRAME_BYTES = 256 * 2**20
LENGTH_BYTES = 4
STOP_SECONDS = 5.0
# Below it the start of a child takes longer than it saves.
WORTH_A_CHILD_FILES = 200

# whole: all of the package is read and checked, as what is uploaded; identity: what it says that it is, and that it is no bomb.
Depth = Literal["whole", "identity"]
Outcome = PackageInfo | Identity | HubError


class Item(NamedTuple):
    """A package to read."""

    bytes: Temporary
    filename: str


class _Batch(msgspec.Struct, array_like=True):
    """items: (path, filename, all of its bytes where they are in memory: then there is no path)."""

    depth: Depth
    items: list[tuple[str, str, bytes | None]]


class _Answer(msgspec.Struct, array_like=True):
    """Exactly one of them is there."""

    identity: Identity | None = None
    info: PackageInfo | None = None
    refused: Refusal | None = None
    failed: str | None = None


_batch = msgspec.msgpack.Decoder(_Batch)
_answers = msgspec.msgpack.Decoder(list[_Answer])
_encoder = msgspec.msgpack.Encoder()


class Inspector:
    """An async context manager. expected_files: how many packages will come."""

    def __init__(self, expected_files: int, *, depth: Depth = "whole") -> None:
        self._wanted, self._depth = expected_files >= WORTH_A_CHILD_FILES, depth
        self._child: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Inspector:
        if self._wanted:
            environment = {name: os.environ[name] for name in PASSED_ON_VARIABLES if name in os.environ}
            environment["PYTHONPATH"] = str(Path(condahub.__file__).resolve().parent.parent)
            self._child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-s", "-P", "-m", "mirrors_app.core.inspector"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=MAX_FRAME_BYTES,
                env=environment,
                cwd="/",
                start_new_session=True,
            )
        return self

    async def __aexit__(self, *_: object) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        assert child.stdin is not None
        with suppress(ConnectionError):
            child.stdin.close()
        try:
            await asyncio.wait_for(child.wait(), STOP_SECONDS)
        except TimeoutError:
            child.kill()
            await child.wait()

    async def inspect(self, items: Sequence[Item]) -> list[Outcome]:
        """What each is, or why it is refused; Unavailable among the refusals passes."""
        small = [index for index, item in enumerate(items) if self._depth == "identity" or item.bytes.size <= IN_PROCESS_MAX_BYTES]
        found: dict[int, Outcome] = {}
        if self._child is not None and small:
            found = dict(zip(small, await self._by_child([items[index] for index in small]), strict=True))
        rest = [index for index in range(len(items)) if index not in found or isinstance(found[index], PackageBomb | PackageSlow)]
        # A child that died may have met what would end this process too: then each is read in one of its own.
        limits = Limits() if self._wanted and self._child is None else None
        if rest:
            asked = [(items[index].bytes.path, items[index].filename) for index in rest]
            found |= zip(rest, await asyncio.to_thread(_inspect_all, asked, self._depth, limits), strict=True)
        return [found[index] for index in range(len(items))]

    async def _by_child(self, items: Sequence[Item]) -> list[Outcome]:
        child = self._child
        assert child is not None and child.stdin is not None and child.stdout is not None
        try:
            child.stdin.write(_framed(_Batch(self._depth, [self._asked(item) for item in items])))
            await child.stdin.drain()
            length = int.from_bytes(await child.stdout.readexactly(LENGTH_BYTES), "big")
            answers = _answers.decode(await child.stdout.readexactly(length))
        except (OSError, ValueError, EOFError):
            await self.__aexit__()
            return [PackageSlow("The reader stopped.") for _ in items]
        return [_outcome(answer) for answer in answers]

    def _asked(self, item: Item) -> tuple[str, str, bytes | None]:
        data: bytes | None = getattr(item.bytes, "data", None) if self._depth == "identity" else None
        return ("" if data is not None else str(item.bytes.path), item.filename, data)


def _framed(message: object) -> bytes:
    data = _encoder.encode(message)
    return len(data).to_bytes(LENGTH_BYTES, "big") + data


def _outcome(answer: _Answer) -> Outcome:
    found = answer.identity or answer.info
    if found is not None:
        return found
    if answer.refused is None:
        return PackageSlow(answer.failed or "")
    said = answer.refused
    kind: type[HubError] = BY_CODE.get(said.code, BadFilename)
    return kind(said.detail, code=said.code, hint=said.hint, status=said.status)


def _inspect_all(items: Sequence[tuple[Path, str]], depth: Depth, limits: Limits | None) -> list[Outcome]:
    return [_inspected(path, filename, depth, limits) for path, filename in items]


def _inspected(path: Path, filename: str, depth: Depth, limits: Limits | None) -> Outcome:
    try:
        if depth == "identity" and limits is None and (identity := _identity(path, filename, None)) is not None:
            return identity
        info = inspect(path, filename=filename, limits=limits) if limits else inspect(path, filename=filename)
        return Identity.of(info) if depth == "identity" else info
    except HubError as error:
        return error


def _identity(path: Path, filename: str, data: bytes | None) -> Identity | None:
    with path.open("rb") if data is None else io.BytesIO(data) as file:
        return read_identity(file, filename=filename)


def _answer(text: str, filename: str, data: bytes | None, depth: Depth) -> _Answer:
    path = Path(text)
    try:
        if depth == "identity" and (identity := _identity(path, filename, data)) is not None:
            return _Answer(identity=identity)
        if data is not None or path.stat().st_size > IN_PROCESS_MAX_BYTES:
            return _Answer(failed="It takes another reader.")
        info = read_package(path, filename=filename, limits=IN_PROCESS_LIMITS)
        return _Answer(identity=Identity.of(info)) if depth == "identity" else _Answer(info=info)
    except HubError as error:
        return _Answer(refused=Refusal(error.code, error.detail, error.hint, error.status))
    except (MemoryError, OSError) as error:
        return _Answer(failed=type(error).__name__)


def _read(source: BinaryIO) -> _Batch | None:
    head = source.read(LENGTH_BYTES)
    return _batch.decode(source.read(int.from_bytes(head, "big"))) if len(head) == LENGTH_BYTES else None


def main() -> None:
    """Answer batches until stdin ends."""
    resource.setrlimit(resource.RLIMIT_AS, (MAX_ADDRESS_SPACE_BYTES, MAX_ADDRESS_SPACE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    while (batch := _read(sys.stdin.buffer)) is not None:
        sys.stdout.buffer.write(_framed([_answer(*item, batch.depth) for item in batch.items]))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
