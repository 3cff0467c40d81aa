"""Reads how often a channel's files were downloaded, by day, month or year."""

from __future__ import annotations

from datetime import date, timedelta
from enum import StrEnum
from typing import Any

from django.db.models import Sum
from django.db.models.functions import TruncDay, TruncMonth, TruncYear
from django.utils import timezone

from channels_app.models import Channel, DownloadCount
from condahub.errors import Invalid

DEFAULT_DAYS = 30
MAX_DAYS = 3660


class Period(StrEnum):
    DAY = "D"
    MONTH = "M"
    YEAR = "Y"


_TRUNCATE = {Period.DAY: TruncDay, Period.MONTH: TruncMonth, Period.YEAR: TruncYear}


def downloads(
    channel: Channel,
    *,
    period: Period = Period.DAY,
    start: date | None = None,
    end: date | None = None,
    subdir: str = "",
    filename: str = "",
) -> dict[str, Any]:
    """Downloads from `start` to `end`, both included (UTC days; the last 30 unless said): total, and a count a period that had any.

    One query. Counts lag by up to half a minute. Raises Invalid `bad_range`.
    """
    end = end or timezone.now().date()
    start = start or end - timedelta(days=min(DEFAULT_DAYS - 1, end.toordinal() - 1))
    if start > end or (end - start).days > MAX_DAYS:
        raise Invalid(
            "This is not a range of days that can be shown.",
            code="bad_range",
            hint=f"'start' comes before 'end', by at most {MAX_DAYS} days.",
        )
    counts = DownloadCount.objects.filter(file__channel=channel, day__range=(start, end))
    if subdir:
        counts = counts.filter(file__subdir=subdir)
    if filename:
        counts = counts.filter(file__filename=filename)
    rows = counts.annotate(period=_TRUNCATE[period]("day")).order_by("period").values_list("period").annotate(count=Sum("count"))
    series = [{"start": begin, "count": number} for begin, number in rows]
    return {"period": period.value, "start": start, "end": end, "total": sum(one["count"] for one in series), "series": series}
