"""Mirrors for the operator: as numbers for the metrics, and as findings of the doctor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

from django.db.models import Min, Q, QuerySet
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily, Metric

from condahub.ops.doctor import Finding, error, ok, warning
from condahub.portal.wording import counted
from mirrors_app.models import Mirror, MirrorMode, RunState
from mirrors_app.selectors import STANDINGS, standing

# A run is asked for within 30 s of its time, and may wait for a worker.
OVERDUE_SECONDS = 900
SHOWN_NAMES = 5


def measure_mirrors() -> Iterator[Metric]:
    """How many stand how, and for how long the one that waits longest has had no run that came through; names nobody."""
    rows = standing(Mirror.objects.existing())
    states = Counter(rows.order_by().values_list("standing", flat=True))
    count = GaugeMetricFamily("condahub_mirrors", "Mirrors, by how they stand.", labels=["state"])
    for state in STANDINGS:
        count.add_metric([state], states[state])
    yield count
    oldest = rows.filter(paused=False).aggregate(oldest=Min("last_synced_at"))["oldest"]
    age = (timezone.now() - oldest).total_seconds() if oldest else 0.0
    yield GaugeMetricFamily(
        "condahub_mirror_oldest_sync_seconds", "Since the last good run of the mirror whose last one is the oldest; 0: none.", value=age
    )


def check_mirrors() -> Iterator[Finding]:
    """Mirrors whose last run failed or is held, whose time has passed without a run, or whose proxy's index is stale."""
    rows = standing(Mirror.objects.existing().select_related("channel").defer("lock"))
    if not rows.exists():
        yield ok("There are no mirrors.")
        return
    now, before = timezone.now(), timezone.now() - timedelta(seconds=OVERDUE_SECONDS)
    failed = _names(rows.filter(standing=RunState.FAILED))
    held = _names(rows.filter(standing=RunState.HELD))
    overdue = _names(rows.filter(Q(next_run_at__lt=before), paused=False))
    lazy = rows.filter(mode=MirrorMode.LAZY, paused=False, last_synced_at__isnull=False)
    unread = _names(rows.filter(mode=MirrorMode.LAZY, paused=False, last_synced_at__isnull=True, created_at__lt=before))
    if failed:
        yield error(f"The last run of {failed} failed; what was there goes on being served.", "condahub mirror status NAME has the reason.")
    if held:
        yield warning(f"The upstream's index of {held} waits for approval.", "Look at the upstream, then: condahub mirror approve NAME")
    if overdue:
        yield warning(f"The time of {overdue} has passed without a run.", "Do beat and a worker of the lane 'heavy' run? See 'workers'.")
    if unread:
        yield warning(f"The index of {unread} never came.", "condahub mirror status NAME has the reason.")
    if not (failed or held or overdue or unread):
        oldest = lazy.aggregate(oldest=Min("last_synced_at"))["oldest"]
        said = f" The oldest index of a proxy was looked at {int((now - oldest).total_seconds())} s ago." if oldest else ""
        yield ok(f"{counted(rows.count(), 'mirror')}, none of them failing or overdue.{said}")


def _names(rows: QuerySet[Mirror]) -> str:
    names = [mirror.channel.name for mirror in rows.order_by("channel__name")[: SHOWN_NAMES + 1]]
    more = " and others" if len(names) > SHOWN_NAMES else ""
    return ", ".join(f"'{name}'" for name in names[:SHOWN_NAMES]) + more
