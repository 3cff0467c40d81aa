"""The automaton of a build: its states, its phases, and the one table of moves between them."""

from __future__ import annotations

from django.db import models


class BuildState(models.TextChoices):
    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Phase(models.TextChoices):
    """What a running build does now, in this order."""

    SOLVE = "solve"
    FETCH = "fetch"
    LINK = "link"
    PIP = "pip"
    COMPILE = "compile"
    ARTIFACTS = "artifacts"


TRANSITIONS: dict[BuildState, frozenset[BuildState]] = {
    # claimed by a worker; cancelled, or given up, before any did
    BuildState.QUEUED: frozenset({BuildState.RUNNING, BuildState.CANCELLED, BuildState.FAILED}),
    # ended; or given back because its worker died
    BuildState.RUNNING: frozenset({BuildState.COMPLETED, BuildState.FAILED, BuildState.CANCELLED, BuildState.QUEUED}),
    BuildState.COMPLETED: frozenset(),
    BuildState.FAILED: frozenset(),
    BuildState.CANCELLED: frozenset(),
}

FINAL_STATES = frozenset(state for state, targets in TRANSITIONS.items() if not targets)


def check_transition(source: BuildState, target: BuildState) -> None:
    """Raise ValueError for a move that the table does not hold: a fault in the code, never a person's."""
    if target not in TRANSITIONS[source]:
        raise ValueError(f"A build can't go from {source} to {target}.")
