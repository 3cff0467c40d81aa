"""Download counts of files and channels by day, month or year, for those who may read the channel."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db.models import Sum
from django.http import HttpRequest

from channels_app import selectors
from channels_app.faces.entry import Query
from channels_app.faces.quetz.packages import live_file
from channels_app.models import Channel, DownloadCount, Effect, FileState
from condahub.accounts.policy import Actor, Permission
from condahub.errors import Unprocessable

PERIODS = ("D", "M", "Y")
MAX_FILLED_ITEMS = 10_000
METRIC = "download"


class Span:
    """What part of the counts was asked for. Days are UTC; `start` and `end` count in whole."""

    def __init__(self, query: Query) -> None:
        self.period = query.text("period", "D")
        if self.period == "H":
            raise Unprocessable("Downloads are counted by the day, not by the hour.", code="no_hours", hint="Use period D, M or Y.")
        if self.period not in PERIODS:
            raise Unprocessable("'period' must be D, M or Y.", code="bad_value")
        if query.text("metric_name", METRIC) != METRIC:
            raise Unprocessable("Downloads are the one thing that is counted.", code="bad_value", hint=f"Use metric_name={METRIC}.")
        self.start = _day(query.moment("start"))
        self.end = _day(query.moment("end"))
        self.fill_zeros = query.flag("fill_zeros")

    def bounds(self) -> dict[str, date]:
        found = {"day__gte": self.start, "day__lte": self.end}
        return {key: day for key, day in found.items() if day is not None}

    def of(self, day: date) -> date:
        """The first day of the period that a day belongs to."""
        if self.period == "D":
            return day
        return day.replace(day=1) if self.period == "M" else day.replace(month=1, day=1)

    def following(self, day: date) -> date:
        if self.period == "D":
            return day + timedelta(days=1)
        if self.period == "Y":
            return day.replace(year=day.year + 1)
        return (day + timedelta(days=31)).replace(day=1)

    def series(self, counts: Iterable[tuple[date, int]]) -> list[dict[str, Any]]:
        """Counts of days, summed by period, in order; with `fill_zeros` from the first to the last of them without a gap."""
        summed: dict[date, int] = defaultdict(int)
        for day, count in counts:
            summed[self.of(day)] += count
        if self.fill_zeros and (summed or (self.start and self.end)):
            first = self.of(self.start) if self.start else min(summed)
            last = self.of(self.end) if self.end else max(summed)
            days = [first]
            while days[-1] < last:
                days.append(self.following(days[-1]))
                if len(days) > MAX_FILLED_ITEMS:
                    raise Unprocessable(
                        "This span has too many periods to be filled with zeros.",
                        code="bad_value",
                        hint="Use a shorter span, or period M or Y.",
                    )
            summed = defaultdict(int, {day: summed[day] for day in days})
        return [{"timestamp": datetime.combine(day, time(), tzinfo=UTC).isoformat(), "count": summed[day]} for day in sorted(summed)]

    def answer(self, more: Mapping[str, Any]) -> dict[str, Any]:
        return {"server_timestamp": datetime.now(UTC).isoformat(), "period": self.period, "metric_name": METRIC, **more}


def _day(moment: datetime | None) -> date | None:
    return moment.date() if moment is not None else None


def of_channel(request: HttpRequest, actor: Actor, channel: str) -> object:
    """`packages`: {`<subdir>/<filename>`: {series}}; `platform` narrows to a subdir."""
    found = selectors.channel_for(actor, channel, Permission.CHANNEL_READ)
    query = Query(request)
    span = Span(query)
    counts = DownloadCount.objects.filter(file__channel=found, file__state=FileState.LIVE, file__verdict=Effect.ALLOW, **span.bounds())
    if platform := query.text("platform"):
        counts = counts.filter(file__subdir=platform)
    by_file: dict[str, list[tuple[date, int]]] = defaultdict(list)
    rows = counts.order_by().values_list("file__subdir", "file__filename", "day").annotate(total=Sum("count"))
    for subdir, filename, day, count in rows:
        by_file[f"{subdir}/{filename}"].append((day, count))
    return span.answer({"packages": {path: {"series": span.series(by_file[path])} for path in sorted(by_file)}})


def of_version(request: HttpRequest, actor: Actor, channel: str, package: str, subdir: str, filename: str) -> object:
    found: Channel = selectors.channel_for(actor, channel, Permission.CHANNEL_READ)
    span = Span(Query(request))
    file = live_file(found, package, subdir, filename)
    counts = list(DownloadCount.objects.filter(file=file, **span.bounds()).order_by("day").values_list("day", "count"))
    return span.answer({"total": sum(count for _, count in counts), "series": span.series(counts)})
