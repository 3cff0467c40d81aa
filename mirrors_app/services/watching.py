"""How far a run is: counted by the sync core's thread, told by the job's."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import NamedTuple

from condahub.jobs.context import JobContext

RATE_OVER_SECONDS = 20.0
MAX_LINES = 10_000
MIB = 1024**2


class _Sample(NamedTuple):
    at: float
    received: int


class RunWatch:
    """A `core.download.Progress` that only counts; `tell` hands on what is new, from another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._phase = ""
        self._files = self._bytes = self._done = self._received = 0
        self._lines: list[str] = []
        self._dropped = 0
        self._samples: deque[_Sample] = deque(maxlen=200)

    def phase(self, name: str) -> None:
        with self._lock:
            self._phase = name

    def planned(self, files: int, size_bytes: int) -> None:
        with self._lock:
            self._files += files
            self._bytes += size_bytes
            self._lines.append(f"{files:,} packages to fetch, {size_bytes / MIB:,.1f} MiB.")

    def received(self, count_bytes: int) -> None:
        with self._lock:
            self._received += count_bytes

    def finished(self, files: int) -> None:
        with self._lock:
            self._done += files

    def log(self, line: str) -> None:
        with self._lock:
            if len(self._lines) < MAX_LINES:
                self._lines.append(line)
            else:
                self._dropped += 1

    def tell_lines(self, context: JobContext) -> None:
        with self._lock:
            lines, self._lines = self._lines, []
            dropped, self._dropped = self._dropped, 0
        for line in lines:
            context.log(line)
        if dropped:
            context.log(f"{dropped} lines were left out.", "warning")

    def tell(self, context: JobContext) -> None:
        self.tell_lines(context)
        with self._lock:
            phase, done, total, received, size = self._phase, self._done, self._files, self._received, self._bytes
        if not phase:
            return
        if phase != "download":
            context.progress(phase=phase)
            return
        context.progress(min(received, size), size, unit="bytes", phase=phase, message=self._message(done, total, received, size))

    def _message(self, done: int, total: int, received: int, size: int) -> str:
        now = time.monotonic()
        self._samples.append(_Sample(now, received))
        while len(self._samples) > 2 and now - self._samples[0].at > RATE_OVER_SECONDS:
            self._samples.popleft()
        first = self._samples[0]
        rate = (received - first.received) / (now - first.at) if now > first.at else 0.0
        said = f"{done:,} of {total:,} files, {received / MIB:,.1f} of {size / MIB:,.1f} MiB"
        if rate <= 0:
            return said
        return f"{said}, {rate / MIB:,.1f} MiB/s, {_duration(max(size - received, 0) / rate)} left"


def _duration(seconds: float) -> str:
    minutes = int(seconds) // 60
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min" if minutes else f"{int(seconds)} s"
