"""What channels bring to the admin's dashboard: how the store grows and until when it lasts, the largest channels, what is downloaded."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from django.core.files.storage import FileSystemStorage, storages
from django.db.models import Sum
from django.db.models.functions import TruncDate
from django.utils import timezone

from channels_app.models import Blob, Channel, DownloadCount
from condahub.adminsite import dashboard, registry
from condahub.adminsite.registry import Card

GROWTH_DAYS = 30
# Its sum walks over every blob there is.
REMEMBER_GROWTH_SECONDS = 600
DOWNLOAD_DAYS = 7
CHART_HEIGHT = 100
# Beyond, a guess is no news.
FAR_DAYS = 3650


def register() -> None:
    """Called once, when the app is ready."""
    registry.register_card(Card("growth", "admin/cards/growth.html", _growth, 10))
    registry.register_card(Card("channels", "admin/cards/channels.html", _channels, 50))
    registry.register_card(Card("downloads", "admin/cards/downloads.html", _downloads, 80))


def growth_by_day() -> list[tuple[date, int]]:
    """New bytes in the store on each of the last days, as blobs are kept once whoever holds them; a day without any counts 0."""
    today = timezone.now().date()
    first = today - timedelta(days=GROWTH_DAYS - 1)
    rows = Blob.objects.filter(created_at__date__gte=first).order_by().annotate(day=TruncDate("created_at")).values("day")
    sums = {row["day"]: row["size"] for row in rows.annotate(size=Sum("size"))}
    return [(day, sums.get(day, 0)) for day in (first + timedelta(days=n) for n in range(GROWTH_DAYS))]


def _growth() -> dict[str, Any]:
    days = dashboard.remembered("growth", REMEMBER_GROWTH_SECONDS, growth_by_day)
    most = max(size for _, size in days) or 1
    came = sum(size for _, size in days)
    # A hub that is days old grows by what those days brought, not by a thirtieth of it.
    first = next((index for index, (_, size) in enumerate(days) if size), len(days) - 1)
    a_day = came / (len(days) - first)
    disk = dashboard.disk()
    is_disk = isinstance(storages["blobs"], FileSystemStorage)
    return {
        "bars": [{"day": day, "size": size, **_drawn(size, most)} for day, size in days],
        "came": came,
        "a_day": int(a_day),
        "disk": disk,
        "is_disk": is_disk,
        "days_left": min(int(disk["free"] / a_day), FAR_DAYS) if is_disk and a_day else None,
        "far_days": FAR_DAYS,
    }


def _channels() -> dict[str, Any]:
    largest = Channel.objects.order_by("-used_bytes").filter(used_bytes__gt=0)
    rows = largest.values("pk", "name", "used_bytes", "quota_bytes", "organization__name")[: dashboard.MAX_ROWS]
    return {"rows": dashboard.bars([dict(row) for row in rows], "used_bytes")}


def _downloads() -> dict[str, Any]:
    since = timezone.now().date() - timedelta(days=DOWNLOAD_DAYS)
    counts = DownloadCount.objects.filter(day__gte=since).order_by().values("file__name", "file__channel__name", "file__channel_id")
    rows = counts.annotate(times=Sum("count")).order_by("-times")[: dashboard.MAX_ROWS]
    shown = [{"name": row["file__name"], "channel": row["file__channel__name"], "times": row["times"]} for row in rows]
    return {"rows": dashboard.bars(shown, "times"), "days": DOWNLOAD_DAYS}


def _drawn(size: int, most: int) -> dict[str, int]:
    height = round(CHART_HEIGHT * size / most)
    return {"height": height, "top": CHART_HEIGHT + 2 - height}
