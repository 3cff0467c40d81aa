"""What mirrors bring to the admin: the broken ones on its dashboard, the next runs in its schedules, a button that asks upstreams."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models import OuterRef, Subquery
from django.urls import reverse

from condahub.adminsite import registry
from condahub.adminsite.registry import Card, Planned, Probe
from mirrors_app import asking
from mirrors_app.models import Mirror, RunState, SyncRun

MAX_ROWS = 8
MAX_PLANNED = 50
BROKEN = (RunState.FAILED, RunState.HELD, RunState.PARTIAL)


def register() -> None:
    """Called once, when the app is ready."""
    registry.register_card(Card("mirrors", "admin/cards/mirrors.html", broken, 60))
    registry.register_planned(planned)
    registry.register_probe(
        Probe("upstreams", "Upstreams of a mirror", "Asks each for a part of its index.", asking.ask, choices=asking.choices, order=70)
    )


def broken() -> dict[str, Any]:
    """Mirrors whose last run did not bring all."""
    last = SyncRun.objects.filter(mirror=OuterRef("pk")).exclude(state=RunState.RUNNING).order_by("-id")
    mirrors = (
        Mirror.objects.existing()
        .select_related("channel")
        .annotate(
            last_state=Subquery(last.values("state")[:1]),
            last_reason=Subquery(last.values("reason")[:1]),
            last_at=Subquery(last.values("ended_at")[:1]),
        )
    )
    rows = list(mirrors.filter(last_state__in=BROKEN).order_by("-last_at")[: MAX_ROWS + 1])
    return {"rows": rows[:MAX_ROWS], "more": len(rows) > MAX_ROWS, "count": Mirror.objects.existing().count()}


def planned() -> Iterator[Planned]:
    rows = Mirror.objects.existing().filter(next_run_at__isnull=False).select_related("channel").order_by("next_run_at")[:MAX_PLANNED]
    for mirror in rows:
        path = reverse("admin:mirrors_mirror_change", args=[mirror.pk])
        yield Planned("Mirror", mirror.channel.name, f"{mirror.schedule} ({mirror.time_zone})", mirror.next_run_at, path)
