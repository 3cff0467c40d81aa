"""Looks for garbage in cycles seldom while a run makes many objects that are in none: otherwise each tenth step looks at all of them."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from condahub.answering import SELDOM


class _Users:
    """How many runs of this process there are, and what was set before the first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._before = SELDOM

    def enter(self) -> None:
        with self._lock:
            if not self._count:
                self._before = gc.get_threshold()
                if self._before[0]:
                    gc.set_threshold(*SELDOM)
            self._count += 1

    def leave(self) -> None:
        with self._lock:
            self._count -= 1
            if not self._count:
                gc.set_threshold(*self._before)


_users = _Users()


@contextmanager
def seldom_collected() -> Iterator[None]:
    """While any thread of the process is within. Reference counts free all else as ever."""
    _users.enter()
    try:
        yield
    finally:
        _users.leave()
