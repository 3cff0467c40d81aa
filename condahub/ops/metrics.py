"""What a Prometheus server reads at `/metrics`: the hub's state as numbers, with no name of a tenant unless IT allows it."""

from __future__ import annotations

import hmac
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version
from ipaddress import ip_address, ip_network
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from condahub.accounts.authentication import actor_from_headers
from condahub.accounts.permissions import HUB
from condahub.accounts.policy import Permission, require
from condahub.audit.context import address_of
from condahub.errors import HubError
from condahub.jobs import selectors
from condahub.jobs.models import Job
from condahub.jobs.states import JobState

logger = logging.getLogger(__name__)

Measure = Callable[[], Iterable[Metric]]

_measures: dict[str, Measure] = {}


def register_measure(name: str, measure: Measure) -> None:
    """Have `measure()` give its metrics at each reading; from `AppConfig.ready`. It must be cheap, and name no channel,
    organization or person unless `settings.CONDAHUB_METRICS_NAMES` is on.
    """
    _measures[name] = measure


def read(request: HttpRequest) -> HttpResponse:
    """The metrics in Prometheus's text format. For auditors and staff by their API token, for the token of `CONDAHUB_METRICS_TOKEN`,
    and for the addresses of `CONDAHUB_METRICS_ALLOW`; anybody else gets 401 or 403.
    """
    try:
        _require(request)
    except HubError as refusal:
        headers = {"Cache-Control": "no-store", **refusal.headers}
        return HttpResponse(f"{refusal.detail} {refusal.hint}\n", status=refusal.status, content_type="text/plain", headers=headers)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Hub())
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST, headers={"Cache-Control": "no-store"})


def _require(request: HttpRequest) -> None:
    """Raises NotAuthenticated or Forbidden."""
    address = address_of(request.META)
    if address and any(ip_address(address) in ip_network(one, strict=False) for one in settings.CONDAHUB_METRICS_ALLOW):
        return
    scheme, _, sent = request.headers.get("Authorization", "").partition(" ")
    expected = settings.CONDAHUB_METRICS_TOKEN
    if expected and scheme.lower() == "bearer" and hmac.compare_digest(sent.strip().encode(), expected.encode()):
        return
    require(actor_from_headers(request.META), Permission.AUDIT_READ, HUB)


class _Hub(Collector):
    """Asks every measure; one that fails is told of and keeps no other from being read."""

    def collect(self) -> Iterator[Metric]:
        failed = GaugeMetricFamily("condahub_metrics_failed", "Groups of metrics that could not be read.", labels=["group"])
        for name, measure in _measures.items():
            try:
                yield from list(measure())
            except Exception:
                logger.exception("the metrics '%s' could not be read", name)
                failed.add_metric([name], 1)
        yield failed


def _own() -> Iterator[Metric]:
    try:
        number = version("condahub")
    except PackageNotFoundError:
        number = "checkout"
    yield InfoMetricFamily("condahub", "This hub.", value={"version": number, "database": connection.vendor})


def _jobs() -> Iterator[Metric]:
    waiting = GaugeMetricFamily("condahub_jobs_waiting", "Jobs that are due and not begun.", labels=["lane"])
    running = GaugeMetricFamily("condahub_jobs_running", "Jobs that a worker holds.", labels=["lane"])
    age = GaugeMetricFamily("condahub_jobs_oldest_seconds", "How long the first waiting job has been due.", labels=["lane"])
    for lane, depth in selectors.queue_depth().items():
        waiting.add_metric([lane.value], depth.waiting)
        running.add_metric([lane.value], depth.running)
        age.add_metric([lane.value], depth.oldest_age_seconds or 0)
    failed = GaugeMetricFamily("condahub_jobs_failed_24h", "Jobs that failed in the last 24 hours.", labels=["kind"])
    since = timezone.now() - timedelta(hours=24)
    rows = Job.objects.filter(state=JobState.FAILED, finished_at__gte=since).order_by().values_list("kind").annotate(Count("id"))
    for kind, count in rows:
        failed.add_metric([kind], count)
    yield from (waiting, running, age, failed)


def _workers() -> Iterator[Metric]:
    alive = GaugeMetricFamily("condahub_workers_alive", "Worker processes that spoke in the last 30 seconds.", labels=["lane"])
    for lane, count in selectors.workers_alive().order_by().values_list("lane").annotate(Count("pk")):
        alive.add_metric([lane], count)
    yield alive


def _disk() -> Iterator[Metric]:
    free = GaugeMetricFamily("condahub_disk_free_bytes", "Space that is free where the hub writes.", labels=["of"])
    total = GaugeMetricFamily("condahub_disk_total_bytes", "All space there.", labels=["of"])
    for name, folder in (("data", Path(settings.CONDAHUB_DATA)), ("uploads", Path(settings.CONDAHUB_TEMP_DIR))):
        if folder.exists():
            usage = os.statvfs(folder)
            free.add_metric([name], usage.f_bavail * usage.f_frsize)
            total.add_metric([name], usage.f_blocks * usage.f_frsize)
    yield from (free, total)


def _database() -> Iterator[Metric]:
    started = time.perf_counter()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    yield GaugeMetricFamily(
        "condahub_database_seconds", "What the database took for the smallest question.", value=time.perf_counter() - started
    )


for _name, _measure in (("hub", _own), ("database", _database), ("jobs", _jobs), ("workers", _workers), ("disk", _disk)):
    register_measure(_name, _measure)
