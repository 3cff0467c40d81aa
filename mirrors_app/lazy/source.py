"""What the conda doors ask of a proxy channel: packages that are not here yet, and how new its index is."""

from __future__ import annotations

import logging
import threading
import time
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import DatabaseError
from django.utils import timezone

from channels_app.sources import Standing, Wanted
from condahub.remembering import Remembered
from mirrors_app.lazy.fetching import Fetching
from mirrors_app.lazy.flight import Flight
from mirrors_app.models import Mirror
from mirrors_app.services import runs

log = logging.getLogger(__name__)
# How old the word on a mirror may be, in a process that is asked for its index again and again.
REMEMBERED_SECONDS = 2.0
REMEMBERED_MIRRORS = 1024
# A refresh that was asked for and has not come is asked for again.
ASK_AGAIN_SECONDS = 15.0


class _Known(NamedTuple):
    """Of one mirror, as it was read at `read_at` (monotonic)."""

    read_at: float
    mirror_id: int
    last_synced_at: datetime | None
    refresh_seconds: int
    stale_after_seconds: int
    paused: bool


class LazySource:
    """The source of channels of the kind proxy (channels_app.sources.Source)."""

    def __init__(self) -> None:
        self.fetching = Fetching()
        self._lock = threading.Lock()
        self._known: Remembered[int, _Known | None] = Remembered(REMEMBERED_MIRRORS)
        self._asked: dict[int, float] = {}

    def fetch(self, wanted: Wanted) -> Flight:
        return self.fetching.join(wanted)

    def standing(self, channel_id: int) -> Standing:
        known = self._read(channel_id)
        if known is None:
            return Standing()
        now = timezone.now()
        synced = known.last_synced_at
        if not known.paused and (synced is None or now - synced > timedelta(seconds=known.refresh_seconds)):
            self._ask(known.mirror_id)
        if synced is None:
            return Standing(is_ready=False)
        age = int((now - synced).total_seconds())
        return Standing(stale_seconds=age if age > max(known.stale_after_seconds, known.refresh_seconds) else None)

    def _read(self, channel_id: int) -> _Known | None:
        found = self._known.get(channel_id)
        if found is not None and time.monotonic() - found.read_at < REMEMBERED_SECONDS:
            return found
        columns = ("pk", "last_synced_at", "index_refresh_seconds", "stale_after_seconds", "paused")
        row = Mirror.objects.filter(channel_id=channel_id).values_list(*columns).first()
        made = _Known(time.monotonic(), *row) if row else None
        self._known.put(channel_id, made)
        return made

    def _ask(self, mirror_id: int) -> None:
        """Have the index refreshed by a worker; nobody waits for that."""
        with self._lock:
            if time.monotonic() - self._asked.get(mirror_id, -ASK_AGAIN_SECONDS) < ASK_AGAIN_SECONDS:
                return
            self._asked[mirror_id] = time.monotonic()
        try:
            mirror = Mirror.objects.existing().select_related("channel").filter(pk=mirror_id).first()
            if mirror is not None:
                runs.enqueue_refresh(mirror)
        except DatabaseError:
            # Reads go on where nothing can be written, on a full disk for instance.
            log.warning("a refresh could not be asked for", exc_info=True)

    def forget_all(self) -> None:
        """For tests: a process that has just started remembers nothing."""
        self._known.forget_all()
        with self._lock:
            self._asked.clear()


SOURCE = LazySource()
