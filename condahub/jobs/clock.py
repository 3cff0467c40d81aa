"""Cron in a time zone: what people write when something shall come back, and when that is next."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from condahub.errors import Unprocessable

CRON_FIELDS = 5
MAX_CRON_CHARS = 100


def next_time(cron: str, time_zone: str, *, after: datetime) -> datetime:
    """The first time after `after`, in UTC. Raises Unprocessable for what is no cron of five fields, never comes, or no zone."""
    try:
        if len(cron) > MAX_CRON_CHARS or len(cron.split()) != CRON_FIELDS:
            raise CronSimError("five fields")
        return next(CronSim(cron, after.astimezone(zone(time_zone)))).astimezone(UTC)
    except (CronSimError, StopIteration):
        raise Unprocessable(
            f"'{cron[:80]}' is no schedule.", code="bad_schedule", hint="Five fields: minute hour day month weekday, as '30 2 * * *'."
        ) from None


def zone(name: str) -> ZoneInfo:
    """Raises Unprocessable for what is no time zone."""
    try:
        if len(name) > 64:
            raise ValueError
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Unprocessable(f"'{name[:64]}' is no time zone.", code="bad_time_zone", hint="A name as Europe/Berlin or UTC.") from None
