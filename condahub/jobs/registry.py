"""Which kinds of job there are, and the function that runs each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from condahub.jobs.states import Lane

if TYPE_CHECKING:
    from condahub.jobs.context import JobContext

LEASE_SECONDS = 60
TIMEOUT_SECONDS = 3600
MAX_ATTEMPTS = 3

Run = Callable[["JobContext", Mapping[str, Any]], "dict[str, Any] | None"]


@dataclass(frozen=True, slots=True)
class JobKind:
    """A kind's function and limits.

    lease_seconds: how long a silent worker keeps the job; timeout_seconds: how long one attempt may take in all.
    """

    name: str
    lane: Lane
    run: Run
    max_attempts: int = MAX_ATTEMPTS
    lease_seconds: int = LEASE_SECONDS
    timeout_seconds: float = TIMEOUT_SECONDS


_kinds: dict[str, JobKind] = {}


def job_kind(
    name: str,
    *,
    lane: str,
    max_attempts: int = MAX_ATTEMPTS,
    lease_seconds: int = LEASE_SECONDS,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Callable[[Run], Run]:
    """Register `run(context, payload) -> result | None` as the kind `name`, in an app's `tasks` module.

    It may run more than once (a worker that dies is replaced), so it must be safe to repeat.
    """

    def register(run: Run) -> Run:
        known = _kinds.get(name)
        if known is not None and known.run is not run:
            raise ValueError(f"The job kind '{name}' is registered twice.")
        _kinds[name] = JobKind(name, Lane(lane), run, max_attempts, lease_seconds, timeout_seconds)
        return run

    return register


def kind_named(name: str) -> JobKind:
    """The kind; LookupError when no app of this process registered it."""
    try:
        return _kinds[name]
    except KeyError:
        raise LookupError(f"No app registers the job kind '{name}'.") from None


def kind_names() -> list[str]:
    """The kinds this process can run, sorted. A worker claims no other, so an older one leaves a newer kind alone."""
    return sorted(_kinds)
