"""Reads of the notice, which every page asks for: remembered for a few seconds in each process."""

from __future__ import annotations

import time
from dataclasses import dataclass

from django.db import DatabaseError

from condahub.maintenance.models import THE_ONE, Level, SiteNotice

REMEMBER_SECONDS = 5.0


@dataclass(frozen=True)
class Notice:
    """text: '' shows nothing."""

    text: str = ""
    level: str = Level.INFO
    read_only: bool = False


_known: tuple[Notice, float] | None = None


def notice() -> Notice:
    """What holds now, at most REMEMBER_SECONDS old. A database that does not answer keeps what was last known."""
    global _known
    now = time.monotonic()
    if _known is not None and now < _known[1]:
        return _known[0]
    try:
        row = SiteNotice.objects.filter(pk=THE_ONE).first()
    except DatabaseError:
        return _known[0] if _known is not None else Notice()
    found = Notice(row.text, row.level, row.read_only) if row is not None else Notice()
    _known = (found, now + REMEMBER_SECONDS)
    return found


def remember(found: Notice, *, seconds: float = REMEMBER_SECONDS) -> None:
    """This process knows it for so long."""
    global _known
    _known = (found, time.monotonic() + seconds)


def forget() -> None:
    """The next read asks the database."""
    global _known
    _known = None
