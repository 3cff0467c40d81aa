"""A package on its way from an upstream, and those who are given its bytes while they come."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator

from channels_app.sources import CutShort, Wanted
from condahub.errors import HubError, Unavailable

# The end of a package, which nobody is given before all of it was verified: without it no client can take it for whole.
WITHHELD_BYTES = 64 * 1024
PIECE_BYTES = 256 * 1024
# Longer than any single wait of whoever fetches; a fetch that says nothing for so long has lost its process's loop.
SILENCE_SECONDS = 300.0


class Flight:
    """One file, shared by one who fetches (`begin` to `keep` or `fail`, in that order) and any number of readers in threads.

    The bytes are read from the temporary file, at each reader's own pace: a slow one holds up nobody.
    """

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.readers = 0
        self._changed = threading.Condition()
        self._fd = -1
        # Of the temporary file: one that begins anew may have others.
        self._edition = 0
        self._ready_bytes = 0
        self._verified = self._kept = False
        self._error: HubError | None = None

    def __del__(self) -> None:
        self._let_go()

    # The side that fetches

    @property
    def is_streamed(self) -> bool:
        """Whether readers can be promised its length and content before it is whole."""
        return bool(self.wanted.size and self.wanted.sha256)

    def begin(self, fd: int) -> None:
        """The bytes come into this file from its beginning; the number is duplicated, and stays the caller's."""
        with self._changed:
            self._let_go()
            self._fd = os.dup(fd)
            self._edition += 1
            self._ready_bytes = 0

    def grow(self, size: int) -> None:
        """So many bytes are in the file."""
        ready = max(0, min(size, self.wanted.size - WITHHELD_BYTES))
        with self._changed:
            if ready > self._ready_bytes:
                self._ready_bytes = ready
                self._changed.notify_all()

    def verify(self) -> None:
        """The file is whole, and what was wanted."""
        with self._changed:
            self._verified = True
            self._ready_bytes = self.wanted.size
            self._changed.notify_all()

    def keep(self) -> None:
        """It is in the store, and the channel's row says so."""
        with self._changed:
            self._kept = True
            self._ready_bytes = self.wanted.size
            self._changed.notify_all()

    def fail(self, error: HubError) -> None:
        """It will not come."""
        with self._changed:
            self._error = error
            self._changed.notify_all()

    @property
    def has_begun(self) -> bool:
        """Whether anybody may have been given bytes of it."""
        return self._edition > 0

    @property
    def has_ended(self) -> bool:
        return self._kept or self._error is not None

    def _let_go(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    # The readers' side

    def wait(self) -> bool:
        """See channels_app.sources.Fetch."""
        with self._changed:
            self.readers += 1
            try:
                self._until(lambda: self.has_ended or (self.is_streamed and self._ready_bytes > 0))
            finally:
                self.readers -= 1
            if self._kept:
                return False
            # What was verified is given out, even where it could not be kept.
            if self._error is not None and not (self._verified and self.is_streamed):
                raise self._error
            return True

    def pieces(self, start: int, length: int) -> Generator[bytes, None, None]:
        """See channels_app.sources.Fetch."""
        at, end = start, start + length
        with self._changed:
            self.readers += 1
            fd, edition = os.dup(self._fd), self._edition
        try:
            while at < end:
                ready, newer = self._ready(at, edition)
                if newer >= 0:
                    before, fd = fd, newer
                    try:
                        edition = self._compare(before, fd, start, at)
                    finally:
                        os.close(before)
                    continue
                piece = os.pread(fd, min(PIECE_BYTES, ready - at, end - at), at)
                if not piece:
                    raise CutShort("the temporary file is shorter than it was")
                at += len(piece)
                yield piece
        finally:
            os.close(fd)
            with self._changed:
                self.readers -= 1

    def _ready(self, at: int, edition: int) -> tuple[int, int]:
        """(how many bytes of the file may be given out, a newer edition's file or -1), when there are more than `at`."""
        with self._changed:
            self._until(lambda: self._ready_bytes > at or self.has_ended or self._edition != edition)
            if self._error is not None and not self._verified:
                raise CutShort(self._error.code)
            if self._edition != edition:
                return 0, os.dup(self._fd)
            return self._ready_bytes, -1

    def _compare(self, before: int, now: int, start: int, end: int) -> int:
        """Make sure that what was given out of one edition stands in the next one too; the edition that was compared."""
        at = start
        with self._changed:
            edition = self._edition
        while at < end:
            ready, newer = self._ready(at, edition)
            if newer >= 0:
                os.close(newer)
                raise CutShort("it began anew too often")
            size = min(PIECE_BYTES, ready - at, end - at)
            if os.pread(before, size, at) != (piece := os.pread(now, size, at)) or not piece:
                raise CutShort("it changed while it came")
            at += len(piece)
        return edition

    def _until(self, done: Callable[[], bool]) -> None:
        """With the lock held: return when it is so. Raises Unavailable after a silence that nothing explains."""
        deadline = time.monotonic() + SILENCE_SECONDS
        before = (self._edition, self._ready_bytes)
        while not done():
            if (now := (self._edition, self._ready_bytes)) != before:
                before, deadline = now, time.monotonic() + SILENCE_SECONDS
            left = deadline - time.monotonic()
            if left <= 0:
                raise Unavailable("The package did not come in time.", code="source_silent")
            self._changed.wait(left)
