"""Brings packages in: many at a time, each verified against its record and its own metadata before anything is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeVar

from condahub.errors import HubError, StorageFull
from condahub.packages.errors import PackageIdentity, shown
from condahub.packages.identity import Identity
from condahub.packages.metadata import read_index
from condahub.packages.reader import PackageInfo, check_identity
from mirrors_app.core.addresses import joined
from mirrors_app.core.errors import Cancelled, UpstreamBroken, UpstreamError, WindowClosed
from mirrors_app.core.fetch import Fetcher
from mirrors_app.core.inspector import Depth, Inspector, Item, Outcome
from mirrors_app.core.records import BadRecord, Refused, UpstreamRecord, record_of
from mirrors_app.core.target import Fetched, Target, Temporary

# Once more from the beginning: what came wrong once may have been a cache in between.
TRIES_OF_WRONG_BYTES = 2
MAX_PACKAGE_BYTES = 64 * 2**30
BATCH_FILES = 64
BATCH_BYTES = 64 * 2**20
SETTLE_SECONDS = 3.0
SETTLE_FILES = 2_000
SERVER_FAULT = 500

T = TypeVar("T")


class Wanted(NamedTuple):
    """A package to bring in; aside: it is kept but not shown."""

    record: UpstreamRecord
    aside: bool = False


class Rejected(HubError):
    """The bytes are what the index promised, but no package that may be shown; asking again would bring the same."""

    code = "package_rejected"


class Progress(Protocol):
    """Hears of a run while it goes. All of it may be called many times a second, from the run's own thread."""

    def phase(self, name: str) -> None:
        """'index', 'plan', 'download', 'publish'."""
        ...

    def planned(self, files: int, size_bytes: int) -> None: ...

    def received(self, count_bytes: int) -> None: ...

    def finished(self, files: int) -> None: ...

    def log(self, line: str) -> None: ...


@dataclass(slots=True)
class Downloads:
    """fetched: verified and kept, with the record they are to be shown with; refused: not brought in for now; rejected: not to be
    fetched again; stopped: why it ended early.
    """

    fetched: list[UpstreamRecord] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    rejected: list[tuple[UpstreamRecord, str]] = field(default_factory=list)
    bytes: int = 0
    stopped: HubError | None = None


class Downloader:
    """target_thread: the one thread from which the target is spoken to; fallbacks: other channel addresses with the same files."""

    def __init__(
        self,
        fetcher: Fetcher,
        target: Target,
        target_thread: Executor,
        *,
        progress: Progress,
        workers: int,
        fallbacks: Sequence[str] = (),
        depth: Depth = "whole",
    ) -> None:
        self._fetcher, self._target, self._thread = fetcher, target, target_thread
        self._progress, self._workers, self._fallbacks = progress, workers, fallbacks
        self._depth = depth
        self._result = Downloads()
        self._verified: asyncio.Queue[tuple[Wanted, Temporary] | None] = asyncio.Queue(maxsize=4 * BATCH_FILES)

    async def run(self, wanted: Sequence[Wanted]) -> Downloads:
        """One bad package never stops the rest; a full disk, a closed window or a cancel ends it with what was kept by then."""
        waiting = iter(wanted)
        async with Inspector(len(wanted), depth=self._depth) as inspector:
            keeper = asyncio.create_task(self._keep_all(inspector))
            work = asyncio.gather(*(self._work(waiting) for _ in range(min(self._workers, len(wanted)))))
            try:
                # Whichever fails first ends both: workers must not wait for a keeper that is gone.
                both: set[asyncio.Future[Any]] = {work, keeper}
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            finally:
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)
                if not keeper.done():
                    await self._verified.put(None)
                await keeper
        if not work.cancelled():
            work.result()
        return self._result

    async def _work(self, waiting: Iterator[Wanted]) -> None:
        for one in waiting:
            if self._result.stopped is not None:
                return
            try:
                temporary = await self._fetch(one.record)
            except (Cancelled, WindowClosed, StorageFull) as error:
                self._result.stopped = error
                return
            except HubError as error:
                self._refuse(one.record, error.detail)
                continue
            await self._verified.put((one, temporary))

    async def _fetch(self, record: UpstreamRecord) -> Temporary:
        """The record's very bytes, from the first address that has them."""
        failure: UpstreamError | None = None
        for url in self._addresses(record):
            for _ in range(TRIES_OF_WRONG_BYTES):
                try:
                    return await self._fetch_from(url, record)
                except UpstreamBroken as error:
                    failure = error
                except (WindowClosed, Cancelled):
                    raise
                except UpstreamError as error:
                    failure = failure or error
                    break
        assert failure is not None
        raise failure

    async def _fetch_from(self, url: str, record: UpstreamRecord) -> Temporary:
        temporary = await self._fetcher.download(
            url,
            lambda: self._target.temporary(record),
            max_bytes=record.size or MAX_PACKAGE_BYTES,
            progress=self._progress.received,
        )
        if (wrong := wrong_bytes(record, temporary)) is not None:
            temporary.close()
            raise UpstreamBroken(wrong)
        return temporary

    def _addresses(self, record: UpstreamRecord) -> list[str]:
        return [record.url, *(joined(base, f"{record.subdir}/{record.filename.replace('+', '%2B')}") for base in self._fallbacks)]

    def _refuse(self, record: UpstreamRecord, reason: str) -> None:
        self._result.refused.append(Refused(record.subdir, record.filename, reason))
        self._progress.log(f"{record.subdir}/{record.filename}: {reason}")
        self._progress.finished(1)

    async def _keep_all(self, inspector: Inspector) -> None:
        """Inspect and keep what was verified, a batch at a time: a thread is woken once for many small packages."""
        loop = asyncio.get_running_loop()
        settled_at, unsettled, open_ = loop.time(), 0, True
        while open_:
            batch, open_ = await self._next_batch()
            if batch:
                unsettled += await self._keep(batch, inspector)
            if unsettled and (not open_ or loop.time() - settled_at > SETTLE_SECONDS or unsettled > SETTLE_FILES):
                await self._on_target(self._target.settle)
                settled_at, unsettled = loop.time(), 0

    async def _next_batch(self) -> tuple[list[tuple[Wanted, Temporary]], bool]:
        batch: list[tuple[Wanted, Temporary]] = []
        size = 0
        item = await self._verified.get()
        while item is not None:
            batch.append(item)
            size += item[1].size
            if len(batch) >= BATCH_FILES or size >= BATCH_BYTES or self._verified.empty():
                return batch, True
            item = self._verified.get_nowait()
        return batch, False

    async def _keep(self, batch: Sequence[tuple[Wanted, Temporary]], inspector: Inspector) -> int:
        try:
            outcomes = await inspector.inspect([Item(one, wanted.record.filename) for wanted, one in batch])
            inspected = [_judged(wanted, temporary, outcome) for (wanted, temporary), outcome in zip(batch, outcomes, strict=True)]
            good = [one for one in inspected if isinstance(one, Fetched)]
            for one in inspected:
                if isinstance(one, _Bad):
                    if one.for_good:
                        self._result.rejected.append((one.record, one.reason))
                    self._refuse(one.record, one.reason)
            refused = {(one.subdir, one.filename): one for one in await self._on_target(lambda: self._target.keep(good))}
        except StorageFull as error:
            self._result.stopped = error
            return 0
        except HubError as error:
            for wanted, _ in batch:
                self._refuse(wanted.record, error.detail)
            return 0
        finally:
            for _, temporary in batch:
                temporary.close()
        for fetched in good:
            if (no := refused.get(fetched.record.key)) is not None:
                self._refuse(fetched.record, no.reason)
                continue
            self._result.fetched.append(fetched.record)
            self._result.bytes += fetched.bytes.size
            self._progress.finished(1)
        return len(good)

    async def _on_target(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)


def wrong_bytes(record: UpstreamRecord, temporary: Temporary) -> str | None:
    """What is wrong with the bytes that came, by size, then sha256, else md5; None when they are the record's."""
    facts = record.facts
    if facts.size is not None and temporary.size != facts.size:
        return f"It came with {temporary.size} bytes in place of {facts.size}."
    if facts.sha256:
        return None if temporary.sha256 == facts.sha256 else "It came with another sha256 than its record has."
    return None if temporary.md5 == facts.md5 else "It came with another md5 than its record has."


class _Bad(NamedTuple):
    """A package that was read and is not taken; for_good: the same bytes would be refused again."""

    record: UpstreamRecord
    reason: str
    for_good: bool


def _judged(wanted: Wanted, temporary: Temporary, outcome: Outcome) -> Fetched | _Bad:
    record = wanted.record
    try:
        if isinstance(outcome, HubError):
            raise outcome
        if not record.raw:
            record = record_of_package(outcome, record, sha256=temporary.sha256, size=temporary.size)
        agree(outcome, record)
    except BadRecord as error:
        return _Bad(record, str(error), for_good=True)
    except HubError as error:
        return _Bad(record, error.detail, for_good=error.status < SERVER_FAULT)
    return Fetched(record, outcome, temporary, wanted.aside)


def record_of_package(said: PackageInfo | Identity, known: UpstreamRecord, *, sha256: str, size: int) -> UpstreamRecord:
    """The record of a package of which only address and hash were known, out of its own info/index.json."""
    index = read_index(said.index_raw)
    table = {**index, "sha256": sha256, "size": size, **({"md5": known.md5} if known.md5 else {}), "subdir": known.subdir}
    return record_of(subdir=known.subdir, filename=known.filename, section=known.section, table=table, base_url=known.url, spelling=b"")


def agree(said: PackageInfo | Identity, record: UpstreamRecord) -> None:
    """Refuse a package whose own info/index.json is of another identity than the record (Rejected, PackageIdentity)."""
    if isinstance(said, PackageInfo):
        check_identity(said, subdir=record.subdir, filename=record.filename)
    elif said.subdir is not None and said.subdir != record.subdir:
        # Name, version and build were held against the file's name when it was read.
        raise PackageIdentity(f"The package is for '{shown(said.subdir)}', not for '{record.subdir}'.")
    if said.build_number != record.facts.build_number:
        raise Rejected(f"Its info/index.json has build number {said.build_number}, its record {record.facts.build_number}.")
