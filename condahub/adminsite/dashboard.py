"""The admin's first page: how the hub is, in cards; made anew every 30 s at most, and the doctor's findings every minute."""

from __future__ import annotations

import logging
import os
import platform
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from django.conf import settings
from django.core.files.storage import FileSystemStorage, storages
from django.db import connection
from django.db.models import Count, Max
from django.http import HttpRequest
from django.utils import timezone

from condahub import __version__
from condahub.accounts.models import ApiToken, Organization
from condahub.adminsite import registry
from condahub.adminsite.registry import Card
from condahub.jobs import selectors
from condahub.jobs.models import Job
from condahub.jobs.states import JobState, Lane
from condahub.ops import doctor
from condahub.portal.registry import used_bytes

logger = logging.getLogger(__name__)

REMEMBER_SECONDS = 30
REMEMBER_DOCTOR_SECONDS = 60
MAX_ROWS = 8
EXPIRING_DAYS = 14
SHOWN_PACKAGES = ("Django", "celery", "py-rattler", "django-unfold", "django-allauth")

T = TypeVar("T")
_remembered: dict[str, tuple[float, Any]] = {}


def remembered(key: str, seconds: float, make: Callable[[], T]) -> T:
    """What `make` gave, at most so many seconds ago, in this process."""
    kept = _remembered.get(key)
    now = time.monotonic()
    if kept is None or now >= kept[0]:
        kept = (now + seconds, make())
        _remembered[key] = kept
    found: T = kept[1]
    return found


def forget() -> None:
    _remembered.clear()


def context(request: HttpRequest) -> dict[str, Any]:
    return {"cards": remembered("cards", REMEMBER_SECONDS, _cards), "reports": remembered("doctor", REMEMBER_DOCTOR_SECONDS, _reports)}


def _cards() -> list[dict[str, Any]]:
    """Each card with what its template shows; one that can't be read says so, and keeps no other from being shown."""
    made = []
    for card in registry.cards():
        try:
            found = card.context()
        except Exception:
            logger.exception("the card '%s' could not be made", card.name)
            made.append({"card": card, "failed": True, "found": {}})
            continue
        if found is not None:
            made.append({"card": card, "failed": False, "found": found})
    return made


def _reports() -> dict[str, Any]:
    """The doctor's findings, what is to be mended first."""
    reports = doctor.examine()
    order = {doctor.Level.ERROR: 0, doctor.Level.WARNING: 1, doctor.Level.OK: 2}
    bad = sorted((one for one in reports if one.finding.level is not doctor.Level.OK), key=lambda one: order[one.finding.level])
    return {"bad": bad, "good": len(reports) - len(bad), "at": timezone.now()}


def bars(rows: list[dict[str, Any]], size: str) -> list[dict[str, Any]]:
    """Rows with `share`, a whole percentage of the largest, for a bar."""
    most = max((row[size] for row in rows), default=0) or 1
    return [{**row, "share": max(round(100 * row[size] / most), 1) if row[size] else 0} for row in rows]


# -- the cards that stand on what is below the apps ---------------------------------------------------------------------


def disk() -> dict[str, Any]:
    """Free and total bytes of the store's volume; a bucket has no end."""
    storage = storages["blobs"]
    folder = Path(storage.location) if isinstance(storage, FileSystemStorage) else Path(settings.CONDAHUB_DATA)
    usage = os.statvfs(folder if folder.exists() else settings.CONDAHUB_DATA)
    free, total = usage.f_bavail * usage.f_frsize, usage.f_blocks * usage.f_frsize
    return {"free": free, "total": total, "percent": round(100 * (total - free) / total) if total else 0}


def _work() -> dict[str, Any]:
    alive = {lane.value: {"workers": 0, "slots": 0, "busy": 0} for lane in Lane}
    for beat in selectors.workers_alive():
        lane = alive[beat.lane]
        lane["workers"] += 1
        lane["slots"] += beat.slots
        lane["busy"] += beat.busy
    depth = selectors.queue_depth()
    newest = Job.objects.filter(coalesce_key__startswith="schedule:").aggregate(newest=Max("created_at"))["newest"]
    lanes = [{"name": lane.value, "depth": depth[lane], **alive[lane.value]} for lane in Lane]
    return {"lanes": lanes, "beat_at": newest, "beat_alive": _lately(newest)}


def _lately(moment: datetime | None) -> bool:
    return moment is not None and timezone.now() - moment < timedelta(seconds=doctor.BEAT_SILENCE_SECONDS)


def _failures() -> dict[str, Any]:
    since = timezone.now() - timedelta(hours=24)
    failed = Job.objects.filter(state=JobState.FAILED, finished_at__gte=since)
    kinds = failed.order_by().values("kind").annotate(count=Count("id"), last=Max("id")).order_by("-count")
    return {"kinds": bars(list(kinds[:MAX_ROWS]), "count"), "since": since}


def _organizations() -> dict[str, Any]:
    known = {row["pk"]: row for row in Organization.objects.order_by().values("pk", "name", "quota_bytes")}
    held = sorted(used_bytes(list(known)).items(), key=lambda pair: -pair[1])[:MAX_ROWS]
    rows = [{**known[pk], "used": used} for pk, used in held if used]
    return {"rows": bars(rows, "used"), "count": len(known)}


def _tokens() -> dict[str, Any]:
    now = timezone.now()
    soon = ApiToken.objects.filter(revoked_at__isnull=True, expires_at__gt=now, expires_at__lte=now + timedelta(days=EXPIRING_DAYS))
    rows = [token for token in soon.select_related("owner").order_by("expires_at")[:50] if _is_lasting(token)]
    return {"rows": rows[:MAX_ROWS], "days": EXPIRING_DAYS}


def _is_lasting(token: ApiToken) -> bool:
    """One of an hour is meant to end; one of months that ends next week is news."""
    return token.expires_at is not None and token.expires_at - token.created_at > timedelta(days=1)


def _versions() -> dict[str, Any]:
    rows = [("condahub", __version__), ("Python", platform.python_version()), (connection.display_name, _database_version())]
    for name in SHOWN_PACKAGES:
        try:
            rows.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return {"rows": rows}


def _database_version() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT sqlite_version()" if connection.vendor == "sqlite" else "SHOW server_version")
        return str(cursor.fetchone()[0])


for _card in (
    Card("work", "admin/cards/work.html", _work, 20),
    Card("failures", "admin/cards/failures.html", _failures, 30),
    Card("organizations", "admin/cards/organizations.html", _organizations, 40),
    Card("tokens", "admin/cards/tokens.html", _tokens, 70),
    Card("versions", "admin/cards/versions.html", _versions, 90),
):
    registry.register_card(_card)
