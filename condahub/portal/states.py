"""The six states that everything is shown in: the same sign, colour and meaning on every page."""

from __future__ import annotations

from typing import NamedTuple


class Look(NamedTuple):
    """name: of the colour (portal.css); icon: the sign, so that colour never speaks alone."""

    name: str
    icon: str


DONE = Look("done", "circle-check")
RUNNING = Look("running", "loader-2")
WAITING = Look("waiting", "clock")
HELD = Look("held", "hand-stop")
FAILED = Look("failed", "circle-x")
ARCHIVED = Look("archived", "box")

# The states of jobs, files, tokens and accounts.
_LOOKS = {
    "done": DONE,
    "live": DONE,
    "active": DONE,
    "running": RUNNING,
    "waiting": WAITING,
    "held": HELD,
    "yanked": HELD,
    "expiring": HELD,
    "failed": FAILED,
    "purged": FAILED,
    "cancelled": ARCHIVED,
    "deleted": ARCHIVED,
    "expired": ARCHIVED,
    "revoked": ARCHIVED,
    "archived": ARCHIVED,
}


def look_of(word: str) -> Look:
    return _LOOKS.get(word, WAITING)
