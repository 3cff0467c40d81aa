"""Garbage collection: what nobody refers to any more goes, after a grace period; each app says what that is of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from condahub.jobs import schedules
from condahub.jobs.context import JobContext
from condahub.jobs.registry import job_kind
from condahub.settings.env import env

# Longer than the longest upload or build, so that what is on its way in is never taken for garbage.
LEAST_GRACE_DAYS = 7
GC_KIND = "hub.gc"
GC_DRY_KIND = "hub.gc_dry_run"
# A first run over a large store reads every name in it.
GC_TIMEOUT_SECONDS = 12 * 3600


@dataclass(frozen=True)
class Sweep:
    """What a collector is told. grace: how long a thing is left alone after it was last kept or changed.

    dry_run: count and change nothing. check: to be called between steps; it raises when the run should end.
    """

    now: datetime
    grace: timedelta
    dry_run: bool
    check: Callable[[], None]

    @property
    def cutoff(self) -> datetime:
        """What was last kept or changed before this moment may go."""
        return self.now - self.grace


@dataclass(frozen=True)
class Collected:
    """How much of one kind went, or would go. size: bytes of the store, 0 for rows."""

    what: str
    count: int
    size: int = 0

    def as_dict(self) -> dict[str, Any]:
        return {"what": self.what, "count": self.count, "bytes": self.size}


Collector = Callable[[Sweep], Iterable[Collected]]

_collectors: dict[str, Collector] = {}


def register_collector(name: str, collector: Collector) -> None:
    """Have `collector(sweep)` called at each collection, in the order of registration; from `AppConfig.ready`.

    It works in small transactions, each of which leaves everything whole: it may be killed between any two.
    """
    _collectors[name] = collector


def grace_from_settings() -> timedelta:
    """`CONDAHUB_GC_GRACE_DAYS` (7), never less than LEAST_GRACE_DAYS."""
    return timedelta(days=max(env.int("CONDAHUB_GC_GRACE_DAYS", default=LEAST_GRACE_DAYS), LEAST_GRACE_DAYS))


def collect(
    *, dry_run: bool, grace: timedelta | None = None, check: Callable[[], None] = lambda: None, say: Callable[[str], None] = lambda _: None
) -> list[Collected]:
    """Run every collector. grace: for tests alone; else what the settings say. Raises Unavailable when the store is lost."""
    sweep = Sweep(now=timezone.now(), grace=grace_from_settings() if grace is None else grace, dry_run=dry_run, check=check)
    found: list[Collected] = []
    for name, collector in _collectors.items():
        check()
        say(name)
        found += collector(sweep)
    return found


@job_kind(GC_KIND, lane="heavy", timeout_seconds=GC_TIMEOUT_SECONDS)
def run(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """The daily collection."""
    return _run(context, dry_run=False)


@job_kind(GC_DRY_KIND, lane="heavy", timeout_seconds=GC_TIMEOUT_SECONDS)
def run_dry(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """What a collection would take, counted and left alone."""
    return _run(context, dry_run=True)


def _run(context: JobContext, *, dry_run: bool) -> dict[str, Any]:
    def say(name: str) -> None:
        context.progress(phase=name)

    found = collect(dry_run=dry_run, check=context.check_cancelled, say=say)
    for one in found:
        if one.count:
            context.log(f"{one.what}: {one.count}, {one.size} bytes")
    return {"collected": [one.as_dict() for one in found]}


schedules.register("garbage collection", kind=GC_KIND, crontab="41 2 * * *")
