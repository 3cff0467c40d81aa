"""Brings packages here that somebody asked for: in one event loop of this process, each once, whoever else wants it too."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from django.db import close_old_connections, connection

from channels_app.models import PackageFile
from channels_app.sources import Wanted
from condahub.errors import HubError, NotFound, Unavailable
from condahub.storage.blobs import TemporaryBlob, blobs
from condahub.storage.temporary import temporary_folder
from mirrors_app.core.addresses import joined
from mirrors_app.core.errors import UpstreamBroken, UpstreamError, UpstreamMissing
from mirrors_app.lazy import keeping, leases
from mirrors_app.lazy.flight import Flight
from mirrors_app.lazy.keeping import NotWhatWasPromised
from mirrors_app.lazy.lines import Line, Lines, Settings, read_settings
from mirrors_app.lazy.target import quoted
from mirrors_app.models import Location, Mirror, MirrorSubdir

log = logging.getLogger(__name__)

# At once in one process, and waiting for their turn; past these who asks is told to come again.
MAX_FETCHES = 32
MAX_FLIGHTS = 1024
SLOW_THREADS = 4
# Who is not waited for by then, when its turn comes, is not fetched.
UNWANTED_AFTER_SECONDS = 1.0
MAX_PACKAGE_BYTES = 64 * 2**30
# A failure other than a 404: short, so that who tries again soon is not told of the past for long.
FAILURE_SECONDS = 5.0
LOOK_SECONDS = 0.25
TAIL_SECONDS = 0.03

T = TypeVar("T")


@dataclass(slots=True)
class _Order:
    """What one fetch needs to know; named: where the index says that it lies; settings: only where no line to this mirror is open."""

    file: PackageFile
    mirror: Mirror
    named: list[str]
    settings: Settings | None


class _Sink:
    """The temporary file of a download, which says to the flight how much is there."""

    def __init__(self, flight: Flight, temporary: TemporaryBlob) -> None:
        self._flight, self.temporary = flight, temporary
        flight.begin(temporary.fileno())

    @property
    def size(self) -> int:
        return self.temporary.size

    def write(self, chunk: bytes, /) -> None:
        self.temporary.write(chunk)
        self._flight.grow(self.temporary.size)

    def close(self) -> None:
        self.temporary.close()


class Fetching:
    """All flights of this process. `join` may be called from any thread and returns at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[int, Flight] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = 0

    def join(self, wanted: Wanted) -> Flight:
        """The flight that brings this file, begun if need be. Raises Unavailable when too many are wanted."""
        with self._lock:
            self._start()
            flight = self._flights.get(wanted.file_id)
            if flight is not None and not flight.has_ended:
                return flight
            if len(self._flights) >= MAX_FLIGHTS:
                raise Unavailable("Too many packages are being fetched.", code="source_busy", retry_after_seconds=2)
            flight = self._flights[wanted.file_id] = Flight(wanted)
            assert self._loop is not None
            asyncio.run_coroutine_threadsafe(self._fly(flight), self._loop)
            return flight

    def _start(self) -> None:
        """In each process anew, a forked one too."""
        if self._loop is not None and self._process == os.getpid():
            return
        self._process = os.getpid()
        self._flights = {}
        self._loop = asyncio.new_event_loop()
        self._lines = Lines()
        self._slots = asyncio.Semaphore(MAX_FETCHES)
        # One thread with a connection of its own: leases are taken and kept while others wait for the disk.
        self._quick = ThreadPoolExecutor(1, "lazy-quick")
        self._slow = ThreadPoolExecutor(SLOW_THREADS, "lazy-slow")
        self._thread = threading.Thread(target=self._loop.run_forever, name="lazy-fetching", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End what goes on, and leave no thread; for a process that goes on without it, such as a test's."""
        loop = self._loop
        if loop is None:
            return
        asyncio.run_coroutine_threadsafe(self._end(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join()
        loop.close()
        self._quick.submit(_close_connection).result()
        self._quick.shutdown()
        self._slow.shutdown()
        self._loop = None

    async def _end(self) -> None:
        own = asyncio.current_task()
        tasks = [task for task in asyncio.all_tasks() if task is not own]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._lines.close()

    async def _ask(self, call: Callable[[], T]) -> T:
        """Of the database, about leases: quick."""
        return await asyncio.get_running_loop().run_in_executor(self._quick, partial(_not_durable, call))

    async def _do(self, call: Callable[[], T]) -> T:
        """What may wait for the disk; in one of a few threads, which keep no connection."""
        return await asyncio.get_running_loop().run_in_executor(self._slow, partial(_alone, call))

    async def _fly(self, flight: Flight) -> None:
        wanted = flight.wanted
        try:
            asked_at = time.monotonic()
            async with self._slots:
                if not flight.readers and time.monotonic() - asked_at > UNWANTED_AFTER_SECONDS:
                    raise Unavailable("Nobody waited for it any more.", code="source_busy")
                await self._bring(flight)
        except HubError as error:
            flight.fail(error)
        except Exception:
            log.exception("a package could not be fetched: %s/%s", wanted.subdir, wanted.filename)
            flight.fail(Unavailable("The package could not be fetched.", code="source_failed"))
        finally:
            with self._lock:
                if self._flights.get(wanted.file_id) is flight:
                    del self._flights[wanted.file_id]

    async def _bring(self, flight: Flight) -> None:
        while True:
            holder = secrets.token_hex(16)
            with blobs().temporary(flight.wanted.size) as temporary:
                taken = await self._ask(partial(self._take, flight.wanted, holder, temporary.path.name))
                if isinstance(taken, _Order):
                    await self._fetch(flight, taken, holder, temporary)
                    return
            word: leases.Word | None = taken
            if isinstance(word, leases.Theirs):
                word = await self._follow(flight, word)
            if isinstance(word, leases.Here):
                await self._do(partial(_keep_whole, flight))
                return
            if isinstance(word, leases.Refused):
                raise word.error

    # Another process fetches it

    async def _follow(self, flight: Flight, theirs: leases.Theirs) -> leases.Word | None:
        """Give out what another process on the same disk writes, until it has ended; None: nobody fetches it any more."""
        fd, opened = -1, ""
        word: leases.Word | None = theirs
        looked = asyncio.get_running_loop().time()
        try:
            while isinstance(word, leases.Theirs):
                if flight.is_streamed and word.part != opened and (newer := _open_part(word.part)) >= 0:
                    if fd >= 0:
                        os.close(fd)
                    fd, opened = newer, word.part
                    flight.begin(fd)
                if fd >= 0:
                    flight.grow(os.fstat(fd).st_size)
                await asyncio.sleep(TAIL_SECONDS)
                now = asyncio.get_running_loop().time()
                if now - looked > LOOK_SECONDS:
                    looked = now
                    word = await self._ask(partial(leases.look, flight.wanted.file_id))
            return word
        finally:
            if fd >= 0:
                os.close(fd)

    # This process fetches it

    def _take(self, wanted: Wanted, holder: str, part: str) -> _Order | leases.Word:
        word = leases.take(wanted.file_id, holder=holder, part=part)
        if not isinstance(word, leases.Mine):
            return word
        remove_part(word.leftover)
        try:
            return self._order(wanted, holder)
        except BaseException:
            leases.release(wanted.file_id, holder=holder)
            raise

    def _order(self, wanted: Wanted, holder: str) -> _Order | leases.Here:
        """Here: the bytes were somewhere in the hub, and are this channel's now."""
        file = PackageFile.objects.select_related("channel__organization").get(pk=wanted.file_id)
        if keeping.reuse(file, holder=holder):
            return leases.Here()
        keeping.require_room(file.channel, file.size)
        mirror = Mirror.objects.filter(channel_id=file.channel_id).first()
        if mirror is None:
            raise NotFound(f"'{wanted.filename}' has no upstream any more.", code="no_upstream")
        own = Location.objects.filter(file=file).values_list("url", flat=True).first()
        folder = MirrorSubdir.objects.filter(mirror=mirror, subdir=file.subdir).values_list("base_url", flat=True).first()
        named = [*([own] if own else []), *([folder + quoted(file.filename)] if folder else [])]
        return _Order(file, mirror, named, None if self._lines.has(mirror.pk) else read_settings(mirror))

    async def _fetch(self, flight: Flight, order: _Order, holder: str, temporary: TemporaryBlob) -> None:
        file_id = flight.wanted.file_id
        beat = asyncio.create_task(self._keep_lease(file_id, holder))
        try:
            sink = await self._download(flight, order, _Sink(flight, temporary))
            with sink.temporary as whole:
                await self._do(partial(_accept, flight, order.file, whole, holder))
        except HubError as error:
            log.warning("%s/%s was not fetched: %s", order.file.subdir, order.file.filename, error.detail)
            told = _as_told(error, flight.wanted)
            seconds = _remembered_seconds(error, order.mirror)
            await self._ask(partial(leases.fail, file_id, holder=holder, error=told, seconds=seconds))
            raise told from error
        except BaseException:
            await self._ask(partial(leases.release, file_id, holder=holder))
            raise
        finally:
            beat.cancel()

    async def _download(self, flight: Flight, order: _Order, first: _Sink) -> _Sink:
        """From the first upstream that has it."""
        failure: UpstreamError | None = None
        failed = False
        line = await self._lines.take(order.mirror.pk, order.settings)
        waiting = [first]

        def open_sink() -> _Sink:
            return waiting.pop() if waiting else _Sink(flight, blobs().temporary(order.file.size))

        try:
            for url in _addresses(order, line):
                try:
                    return await line.fetcher.download(url, open_sink, max_bytes=order.file.size or MAX_PACKAGE_BYTES)
                except UpstreamError as error:
                    failed = failed or not isinstance(error, UpstreamMissing)
                    # A 404 of one says nothing when another did not answer.
                    failure = error if failure is None or isinstance(failure, UpstreamMissing) else failure
        finally:
            await self._lines.give_back(order.mirror.pk, line, failed=failed)
        raise failure or UpstreamError("The mirror has no upstream.")

    async def _keep_lease(self, file_id: int, holder: str) -> None:
        while True:
            await asyncio.sleep(leases.LEASE_SECONDS / 3)
            with suppress(Exception):
                # A database that does not answer for a while costs no more than a second fetch.
                await self._ask(partial(leases.renew, file_id, holder=holder))


def _alone(call: Callable[[], T]) -> T:
    try:
        _relax()
        return call()
    finally:
        connection.close()


def _close_connection() -> None:
    """Of the thread that calls it."""
    connection.close()


def _not_durable(call: Callable[[], T]) -> T:
    close_old_connections()
    _relax()
    return call()


def _relax() -> None:
    """Have this thread's commits not wait for the disk: that would be most of what a small package takes, for whoever comes next too,
    as SQLite lets nobody else write meanwhile. Where the power goes, a package that is in the store is fetched once more.
    """
    if connection.connection is None:
        connection.ensure_connection()
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA synchronous=NORMAL" if connection.vendor == "sqlite" else "SET synchronous_commit TO off")


def _addresses(order: _Order, line: Line) -> list[str]:
    beside = f"{order.file.subdir}/{quoted(order.file.filename)}"
    # An index that names another place may have come back to the usual one since.
    return list(dict.fromkeys([*order.named, *(joined(upstream, beside) for upstream in line.upstreams)]))


def _accept(flight: Flight, file: PackageFile, whole: TemporaryBlob, holder: str) -> None:
    """Verify, let go of the withheld end, keep, in this order."""
    keeping.verify(file, whole)
    flight.verify()
    keeping.keep(file.pk, whole, holder=holder)
    flight.keep()


def _keep_whole(flight: Flight) -> None:
    """Another process has fetched it: who was given the first bytes of its temporary file is given the rest out of the store."""
    if flight.has_begun:
        with blobs().open(flight.wanted.sha256) as file:
            flight.begin(file.fileno())
            flight.keep()
    flight.keep()


def _remembered_seconds(error: HubError, mirror: Mirror) -> float:
    if isinstance(error, UpstreamMissing):
        return mirror.negative_cache_seconds
    return 0.0 if isinstance(error, UpstreamBroken | NotWhatWasPromised) else FAILURE_SECONDS


def _as_told(error: HubError, wanted: Wanted) -> HubError:
    """What a client hears: not where the upstream is, which not every reader of a channel may know."""
    if isinstance(error, UpstreamMissing):
        return NotFound(f"'{wanted.filename}' is in the index, but the upstream has it no more.", code="upstream_missing")
    if isinstance(error, UpstreamBroken):
        return NotWhatWasPromised(f"'{wanted.filename}' did not come as the upstream's index promises it.")
    if isinstance(error, UpstreamError):
        return Unavailable(
            f"'{wanted.filename}' could not be had from the upstream.",
            code=error.code,
            hint="Try again later; packages that were fetched before are there.",
            retry_after_seconds=round(FAILURE_SECONDS),
        )
    return error


def _part(name: str) -> Path | None:
    """A temporary file by a name out of the database."""
    path = Path(name)
    return temporary_folder() / path if name and path.name == name and path.suffix == ".part" else None


def _open_part(name: str) -> int:
    """-1 where it is not (yet) there, or on another node's disk."""
    path = _part(name)
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW) if path else -1
    except OSError:
        return -1


def remove_part(name: str) -> None:
    """A temporary file that a dead process left, if it lies on this disk."""
    path = _part(name)
    if path is not None:
        with suppress(OSError):
            path.unlink(missing_ok=True)
