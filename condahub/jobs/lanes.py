"""A lane inside a worker process: a few threads that run jobs, and one that looks, reaps and says that it lives."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from datetime import timedelta

from django.db import DatabaseError, InterfaceError, close_old_connections, connections
from django.utils import timezone

from condahub import __version__
from condahub.jobs import doorbell, services
from condahub.jobs.models import Job, WorkerBeat
from condahub.jobs.runner import run_one
from condahub.jobs.states import Lane

logger = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
BEAT_SECONDS = 10.0
# After the database did not answer.
PAUSE_SECONDS = 2.0
# How long a stopping worker lets its runs leave in good order; then it takes the jobs from them.
STOP_GRACE_SECONDS = 5.0
FORGET_AFTER_SECONDS = 24 * 3600


class LaneRunner:
    """The threads of one lane. `wake` may be called from anywhere; `ask_to_stop` from a signal handler."""

    def __init__(self, lane: Lane, *, slots: int) -> None:
        self.lane = lane
        self.slots = slots
        self.label = f"{lane}@{socket.gethostname()}:{os.getpid()}"
        self._bell = threading.Event()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._running: dict[str, Job] = {}
        self._lock = threading.Lock()
        self._slots_made = 0
        self._started_at = timezone.now()

    def start(self) -> None:
        for _ in range(self.slots):
            self._add_slot()
        self._start_thread(self._keep_house, f"{self.lane}-house")
        doorbell.listen(self.lane, self.wake)

    def wake(self) -> None:
        self._bell.set()

    def ask_to_stop(self) -> None:
        self._stop.set()
        self._bell.set()

    def close(self) -> None:
        """Wait a little for the runs to leave, then give their jobs back; the process may end after this."""
        self.ask_to_stop()
        doorbell.listen(self.lane, None)
        until = time.monotonic() + STOP_GRACE_SECONDS
        for thread in list(self._threads):
            thread.join(max(0.0, until - time.monotonic()))
        with self._lock:
            left = list(self._running.values())
        for job in left:
            with contextlib.suppress(services.LeaseLost):
                services.release(job)
        WorkerBeat.objects.filter(worker=self.label).delete()
        connections.close_all()

    # -- slots -----------------------------------------------------------------------------------------------------

    def _add_slot(self) -> None:
        with self._lock:
            self._slots_made += 1
            name = f"{self.lane}-{self._slots_made}"
        self._start_thread(lambda: self._work(name), name)

    def _start_thread(self, target: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self, slot: str) -> None:
        """A slot's life: run what there is, wait for the bell, until the worker stops or a run never comes back."""
        abandoned = threading.Event()

        def replace() -> None:
            # This slot's run hangs beyond its time limit: another thread takes its place.
            abandoned.set()
            self._forget(slot)
            if not self._stop.is_set():
                self._add_slot()

        while not self._stop.is_set() and not abandoned.is_set():
            try:
                close_old_connections()
                self._bell.clear()
                while not self._stop.is_set() and not abandoned.is_set():
                    ran = run_one(
                        self.lane,
                        worker=f"{self.label}:{slot}",
                        stop=self._stop,
                        on_start=lambda job: self._note(slot, job),
                        on_overdue=replace,
                    )
                    self._forget(slot)
                    if not ran:
                        break
            except (DatabaseError, InterfaceError):
                logger.warning("The %s lane waits: the database does not answer.", self.lane, exc_info=True)
                connections.close_all()
                self._stop.wait(PAUSE_SECONDS)
            except Exception:
                logger.exception("The %s lane stumbled.", self.lane)
                self._stop.wait(PAUSE_SECONDS)
            self._forget(slot)
            self._bell.wait()
        connections.close_all()

    def _note(self, slot: str, job: Job) -> None:
        with self._lock:
            self._running[slot] = job
        # Several rings may have been one wake: another slot looks for what this one did not take.
        self._bell.set()

    def _forget(self, slot: str) -> None:
        with self._lock:
            self._running.pop(slot, None)

    # -- housekeeping ----------------------------------------------------------------------------------------------

    def _keep_house(self) -> None:
        beat_at = 0.0
        while not self._stop.is_set():
            try:
                close_old_connections()
                services.reap()
                if services.claimable(self.lane).exists():
                    self._bell.set()
                if time.monotonic() >= beat_at:
                    self._say_alive()
                    beat_at = time.monotonic() + BEAT_SECONDS
            except (DatabaseError, InterfaceError):
                logger.warning("The %s lane can't look: the database does not answer.", self.lane, exc_info=True)
                connections.close_all()
            except Exception:
                logger.exception("The %s lane's housekeeping stumbled.", self.lane)
            self._stop.wait(LOOK_SECONDS)
        connections.close_all()

    def _say_alive(self) -> None:
        now = timezone.now()
        with self._lock:
            busy = len(self._running)
        WorkerBeat.objects.update_or_create(
            worker=self.label,
            defaults={
                "lane": self.lane,
                "hostname": socket.gethostname(),
                "pid": os.getpid(),
                "slots": self.slots,
                "busy": busy,
                "version": __version__,
                "started_at": self._started_at,
                "seen_at": now,
            },
        )
        WorkerBeat.objects.filter(seen_at__lt=now - timedelta(seconds=FORGET_AFTER_SECONDS)).delete()


_open: list[LaneRunner] = []


def open_lanes(queues: list[str], *, slots: int) -> None:
    """Start the lanes that this worker process serves."""
    for name in queues:
        if name in Lane.values:
            runner = LaneRunner(Lane(name), slots=slots)
            _open.append(runner)
            runner.start()
    # Celery tells of its end in good order only; a second Ctrl-C ends it otherwise.
    atexit.register(close_lanes)


def ask_to_stop() -> None:
    """From the signal handler: no new job is claimed, and the runs that look are asked to leave."""
    for runner in _open:
        runner.ask_to_stop()
        # Celery's loop looks at its stop flag between messages, and else every 2 s: one more message saves the wait.
        # From a thread, since a signal handler must not send.
        threading.Thread(target=doorbell.ring, args=(runner.lane,), daemon=True).start()


def close_lanes() -> None:
    """At the end of the process: every job that still runs here is given back."""
    while _open:
        _open.pop().close()
