"""Runs the sync core's coroutines beside a job: in a thread of its own, while the job's thread watches, tells and may cancel."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from condahub.jobs.context import JobCancelled, JobContext
from mirrors_app.services.watching import RunWatch

T = TypeVar("T")
LOOK_EVERY_SECONDS = 0.25
# The core looks between two requests; a request that takes longer is broken off after this.
STOP_SECONDS = 5.0


class Beside(Generic[T]):
    """make: given the watch and what says whether to stop, the coroutine to run."""

    def __init__(self, make: Callable[[RunWatch, Callable[[], bool]], Coroutine[Any, Any, T]]) -> None:
        self._make = make
        self._watch, self._stop, self._ended = RunWatch(), threading.Event(), threading.Event()
        self._results: list[T] = []
        self._error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None

    def run(self, context: JobContext, *, came_through: Callable[[T], bool] = lambda result: False) -> T:
        """The coroutine's result. Raises what it raised, or what `check_cancelled` did, after the coroutine has ended.

        came_through: whether a result stands although the job was cancelled meanwhile.
        """
        thread = threading.Thread(target=self._run, name=f"mirror-{context.job.pk}", daemon=True)
        thread.start()
        try:
            while not self._ended.wait(LOOK_EVERY_SECONDS):
                context.check_cancelled()
                self._watch.tell(context)
        except BaseException as error:
            self._halt()
            if isinstance(error, JobCancelled) and self._results and came_through(self._results[0]):
                return self._results[0]
            raise
        finally:
            thread.join()
        # The phase is over: only lines are left to be told, which go with the job's end.
        self._watch.tell_lines(context)
        if self._error is not None:
            raise self._error
        return self._results[0]

    def _halt(self) -> None:
        self._stop.set()
        until = time.monotonic() + STOP_SECONDS
        while not self._ended.wait(LOOK_EVERY_SECONDS):
            if time.monotonic() > until and self._loop is not None and self._task is not None:
                until = float("inf")
                self._loop.call_soon_threadsafe(self._task.cancel)

    def _run(self) -> None:
        try:
            self._results.append(asyncio.run(self._main()))
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - raised again in the thread of the job
            self._error = error
        finally:
            self._ended.set()

    async def _main(self) -> T:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        return await self._make(self._watch, self._stop.is_set)
