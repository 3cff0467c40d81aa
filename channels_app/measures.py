"""Channels as numbers for the hub's metrics."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings
from django.db.models import Count, Sum
from prometheus_client.core import GaugeMetricFamily, Metric

from channels_app.models import Channel, DirtyName


def measure_channels() -> Iterator[Metric]:
    """Channels and their bytes by kind and visibility; by organization as well where names are allowed."""
    count = GaugeMetricFamily("condahub_channels", "Channels.", labels=["kind", "visibility"])
    size = GaugeMetricFamily("condahub_channel_bytes", "Bytes that channels hold, each in full.", labels=["kind", "visibility"])
    rows = Channel.objects.order_by().values_list("kind", "visibility").annotate(Count("id"), Sum("used_bytes"))
    for kind, visibility, channels, held in rows:
        count.add_metric([kind, visibility], channels)
        size.add_metric([kind, visibility], held or 0)
    yield from (count, size)
    yield GaugeMetricFamily(
        "condahub_index_waiting", "Changed package names that are not in an index yet.", value=DirtyName.objects.count()
    )
    if settings.CONDAHUB_METRICS_NAMES:
        named = GaugeMetricFamily("condahub_organization_channel_bytes", "Bytes of an organization's channels.", labels=["organization"])
        for name, held in Channel.objects.order_by().values_list("organization__name").annotate(Sum("used_bytes")):
            named.add_metric([name], held or 0)
        yield named
