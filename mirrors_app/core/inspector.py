"""Reads small packages in a child process of the run's own, many of them one after the other, beside the process that downloads.

The child gets one JSON line a batch on stdin, `[["/mirror/linux-64/.x.part", "demo-1.0-0.conda"], ...]`, and answers with one line of
as many answers (`condahub.packages.child.Answer`). It sees no secrets, may write no file, and serves one run alone.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

import condahub
from condahub.errors import HubError
from condahub.packages.child import MAX_ADDRESS_SPACE_BYTES, Answer, Refusal
from condahub.packages.errors import BY_CODE, BadFilename, PackageBomb, PackageSlow
from condahub.packages.limits import Limits
from condahub.packages.pool import IN_PROCESS_LIMITS, IN_PROCESS_MAX_BYTES, PASSED_ON_VARIABLES, inspect
from condahub.packages.reader import PackageInfo, read_package

MAX_LINE_BYTES = 256 * 2**20
STOP_SECONDS = 5.0
# Below it the start of a child takes longer than it saves.
WORTH_A_CHILD_FILES = 200

Outcome = PackageInfo | HubError
Item = tuple[str, str, int]
_batch = msgspec.json.Decoder(list[tuple[str, str]])
_answers = msgspec.json.Decoder(list[Answer])


class Inspector:
    """An async context manager. expected_files: how many packages will come."""

    def __init__(self, expected_files: int) -> None:
        self._wanted = expected_files >= WORTH_A_CHILD_FILES
        self._child: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Inspector:
        if self._wanted:
            environment = {name: os.environ[name] for name in PASSED_ON_VARIABLES if name in os.environ}
            environment["PYTHONPATH"] = str(Path(condahub.__file__).resolve().parent.parent)
            self._child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-s", "-P", "-m", "mirrors_app.core.inspector"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=MAX_LINE_BYTES,
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
        """(path, filename, size) of each -> what it is, or why it is refused; Unavailable among the refusals passes."""
        small = [index for index, (_, _, size) in enumerate(items) if size <= IN_PROCESS_MAX_BYTES]
        found: dict[int, Outcome] = {}
        if self._child is not None and small:
            found = dict(zip(small, await self._by_child([items[index] for index in small]), strict=True))
        rest = [index for index in range(len(items)) if index not in found or isinstance(found[index], PackageBomb | PackageSlow)]
        # A child that died may have met what would end this process too: then each is read in one of its own.
        limits = Limits() if self._wanted and self._child is None else None
        if rest:
            found |= zip(rest, await asyncio.to_thread(_inspect_all, [items[index] for index in rest], limits), strict=True)
        return [found[index] for index in range(len(items))]

    async def _by_child(self, items: Sequence[Item]) -> list[Outcome]:
        child = self._child
        assert child is not None and child.stdin is not None and child.stdout is not None
        try:
            child.stdin.write(msgspec.json.encode([item[:2] for item in items]) + b"\n")
            await child.stdin.drain()
            answers = _answers.decode(await child.stdout.readline())
        except (OSError, ValueError):
            await self.__aexit__()
            return [PackageSlow("The reader stopped.") for _ in items]
        return [_outcome(answer) for answer in answers]


def _outcome(answer: Answer) -> Outcome:
    if answer.info is not None:
        return answer.info
    if answer.refused is None:
        return PackageSlow(answer.failed or "")
    said = answer.refused
    kind: type[HubError] = BY_CODE.get(said.code, BadFilename)
    return kind(said.detail, code=said.code, hint=said.hint, status=said.status)


def _inspect_all(items: Sequence[Item], limits: Limits | None) -> list[Outcome]:
    found: list[Outcome] = []
    for path, filename, _ in items:
        try:
            found.append(inspect(Path(path), filename=filename, limits=limits) if limits else inspect(Path(path), filename=filename))
        except HubError as error:
            found.append(error)
    return found


def _answer(path: str, filename: str) -> Answer:
    try:
        return Answer(info=read_package(Path(path), filename=filename, limits=IN_PROCESS_LIMITS))
    except HubError as error:
        return Answer(refused=Refusal(error.code, error.detail, error.hint, error.status))
    except (MemoryError, OSError) as error:
        return Answer(failed=type(error).__name__)


def main() -> None:
    """Answer batches until stdin ends."""
    resource.setrlimit(resource.RLIMIT_AS, (MAX_ADDRESS_SPACE_BYTES, MAX_ADDRESS_SPACE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    while line := sys.stdin.buffer.readline():
        answers = [_answer(path, filename) for path, filename in _batch.decode(line)]
        sys.stdout.buffer.write(msgspec.json.encode(answers) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
