"""The hub's beat: what is due becomes a Job row at once, so that no lost message skips a day."""

from __future__ import annotations

import logging
from typing import Any

from django_celery_beat.schedulers import DatabaseScheduler

from condahub.jobs.schedules import ENQUEUE_TASK, enqueue_scheduled

logger = logging.getLogger(__name__)


class HubScheduler(DatabaseScheduler):  # type: ignore[misc]  # django-celery-beat has no types
    """django-celery-beat's scheduler, which enqueues the hub's own schedules itself; others are sent as messages."""

    def apply_async(self, entry: Any, producer: Any = None, advance: bool = True, **kwargs: Any) -> Any:
        if entry.task != ENQUEUE_TASK:
            return super().apply_async(entry, producer=producer, advance=advance, **kwargs)
        try:
            enqueue_scheduled(*entry.args)
        except Exception:
            # Due again at once: the clock does not advance past work that was not recorded.
            logger.exception("The schedule %s could not be enqueued.", entry.args)
            return None
        if advance:
            self.reserve(entry)
        return None
