"""The automaton of a job: its lanes, its states, and the one table of moves between them."""

from __future__ import annotations

from django.db import models


class Lane(models.TextChoices):
    """quick: index, mail, housekeeping; heavy: sync, build, ingest. They never wait for each other."""

    QUICK = "quick"
    HEAVY = "heavy"


class JobState(models.TextChoices):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    # claimed; cancelled before anybody claimed it
    JobState.WAITING: frozenset({JobState.RUNNING, JobState.CANCELLED}),
    # ended; or given back: a retry, a worker that stopped or died
    JobState.RUNNING: frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED, JobState.WAITING}),
    JobState.DONE: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
}

FINAL_STATES = frozenset(state for state, targets in TRANSITIONS.items() if not targets)


def check_transition(source: JobState, target: JobState) -> None:
    """Raise ValueError for a move that the table does not hold: a fault in the code, never a person's."""
    if target not in TRANSITIONS[source]:
        raise ValueError(f"A job can't go from {source} to {target}.")
