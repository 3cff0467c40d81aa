"""How fast and when a mirror may ask: bytes a second, hours of the day, waits between attempts, and a breaker for each host."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from datetime import time as clock
from email.utils import parsedate_to_datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from mirrors_app.core.errors import BadConfiguration, UpstreamError, WindowClosed

MAX_SLEEP_SECONDS = 0.5
_WINDOW = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)")


@dataclass(frozen=True, slots=True)
class Window:
    """Hours of the day in which downloads may run; one that ends before it begins goes over midnight."""

    begins: clock
    ends: clock
    zone: tzinfo = UTC

    @classmethod
    def parse(cls, text: str, zone: str = "UTC") -> Window:
        """'22:00-06:00' in a time zone's name. Raises BadConfiguration."""
        found = _WINDOW.fullmatch(text.strip())
        try:
            if found is None:
                raise ValueError("no such form")
            begins, ends = clock(int(found[1]), int(found[2])), clock(int(found[3]) % 24, int(found[4]))
            return cls(begins, ends, ZoneInfo(zone))
        except (ValueError, ZoneInfoNotFoundError) as error:
            raise BadConfiguration(f"'{text}' in '{zone}' are no hours.", hint="Write 22:00-06:00 and a zone as Europe/Berlin.") from error

    def is_open(self, now: datetime) -> bool:
        here = now.astimezone(self.zone).time()
        if self.begins <= self.ends:
            return self.begins <= here < self.ends
        return here >= self.begins or here < self.ends


class Throttle:
    """Lets through so many bytes a second on average, with a burst of one second; 0 means no limit."""

    def __init__(self, bytes_per_second: int) -> None:
        self._rate = bytes_per_second
        self._free_at = 0.0

    async def take(self, count: int) -> None:
        """Wait until these bytes, which have come already, are within the rate."""
        if not self._rate:
            return
        now = time.monotonic()
        self._free_at = max(self._free_at, now - 1.0) + count / self._rate
        if (wait := self._free_at - now) > 0:
            await asyncio.sleep(wait)


def retry_after_seconds(value: str | None, *, limit_seconds: float) -> float:
    """Retry-After (RFC 9110: seconds or a date) as seconds from now, at most the limit; 0 when there is none or it is nonsense."""
    if not value:
        return 0.0
    try:
        seconds = float(value) if value.strip().isdigit() else parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), limit_seconds)


def backoff_seconds(attempt: int, *, first_seconds: float, limit_seconds: float) -> float:
    """Doubles with each attempt, at random between half and all of it, so that many that fail together don't return together."""
    full = min(limit_seconds, first_seconds * 2.0**attempt)
    return full * (0.5 + random.random() / 2)  # noqa: S311 - no secret


class HostPace:
    """What is known of one host: until when it asked for peace, and whether it seems down.

    After `failures` in a row requests wait `seconds`, then one goes ahead to look; after `trips` such waits in a row it is given up.
    """

    def __init__(self, host: str, *, connections: int, failures: int, seconds: float, trips: int) -> None:
        self.slots = asyncio.Semaphore(connections)
        self._host, self._limit, self._seconds, self._max_trips = host, failures, seconds, trips
        self._in_a_row = 0
        self._trips = 0
        self._quiet_until = 0.0
        self._looking = asyncio.Lock()

    @property
    def given_up(self) -> bool:
        return self._trips > self._max_trips

    def quiet(self, seconds: float) -> None:
        """Nobody asks this host for so long."""
        self._quiet_until = max(self._quiet_until, time.monotonic() + seconds)

    def failed(self) -> None:
        self._in_a_row += 1
        if self._in_a_row >= self._limit and time.monotonic() >= self._quiet_until:
            self._trips += 1
            self.quiet(self._seconds)

    def succeeded(self) -> None:
        self._in_a_row = 0
        self._trips = 0

    async def ready(self, check: Callable[[], None]) -> None:
        """Wait for the host's peace to end; `check` raises when the run is to stop. Raises UpstreamError when it was given up."""
        while True:
            check()
            if self.given_up:
                raise UpstreamError(f"'{self._host}' has not answered for a while; it is not asked any more in this run.")
            left = self._quiet_until - time.monotonic()
            if left <= 0:
                return
            await asyncio.sleep(min(left, MAX_SLEEP_SECONDS))

    @property
    def suspect(self) -> bool:
        """Whether the last waits were for a host that seemed down: then one request at a time looks."""
        return self._trips > 0

    @property
    def looking(self) -> asyncio.Lock:
        return self._looking


def check_windows(windows: tuple[Window, ...], now: datetime | None = None) -> None:
    """Raises WindowClosed when there are windows and none of them is open."""
    moment = now or datetime.now(UTC)
    if windows and not any(window.is_open(moment) for window in windows):
        raise WindowClosed("It is outside the hours in which this mirror may download.")
