"""The six states that everything is shown in: the same sign, colour, word and meaning on every page; and the words of the roles."""

from __future__ import annotations

from typing import NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy, pgettext_lazy


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

_WORDS: dict[str, Promise] = {
    "active": pgettext_lazy("state", "Active"),
    "archived": pgettext_lazy("state", "Archived"),
    "aside": pgettext_lazy("state", "Aside"),
    "building": pgettext_lazy("state", "Building"),
    "cancelled": pgettext_lazy("state", "Cancelled"),
    "deleted": pgettext_lazy("state", "Deleted"),
    "done": pgettext_lazy("state", "Done"),
    "expired": pgettext_lazy("state", "Expired"),
    "expiring": pgettext_lazy("state", "Expiring"),
    "failed": pgettext_lazy("state", "Failed"),
    "held": pgettext_lazy("state", "Held"),
    "live": pgettext_lazy("state", "Live"),
    "purged": pgettext_lazy("state", "Purged"),
    "queued": pgettext_lazy("state", "Queued"),
    "revoked": pgettext_lazy("state", "Revoked"),
    "running": pgettext_lazy("state", "Running"),
    "waiting": pgettext_lazy("state", "Waiting"),
    "yanked": pgettext_lazy("state", "Yanked"),
}
_ROLES: dict[str, Promise] = {
    "reader": gettext_lazy("Reader"),
    "contributor": gettext_lazy("Contributor"),
    "maintainer": gettext_lazy("Maintainer"),
    "owner": gettext_lazy("Owner"),
}


def look_of(word: str) -> Look:
    return _LOOKS.get(word, WAITING)


def said(word: str) -> str:
    """Of a state, as it stands beside its sign."""
    known = _WORDS.get(word)
    return str(known) if known is not None else word.replace("_", " ").capitalize()


def role_said(name: str) -> str:
    known = _ROLES.get(name)
    return str(known) if known is not None else name.capitalize()
