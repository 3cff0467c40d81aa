"""Job kinds of channels: each a few lines from an id to a service."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.utils import timezone

from channels_app.index import stage2
from channels_app.index.publish import publish_dirty
from channels_app.models import Channel, DirtyName, IndexFile
from channels_app.services import channels, retention
from condahub.accounts.policy import SYSTEM
from condahub.jobs import schedules
from condahub.jobs.context import JobContext
from condahub.jobs.registry import job_kind

log = logging.getLogger(__name__)
SETTLE_AFTER_SECONDS = 5
# Short, so that a worker that dies in the middle keeps the large files behind for seconds.
RENDER_LEASE_SECONDS = 15


@job_kind(stage2.RENDER_KIND, lane="quick", lease_seconds=RENDER_LEASE_SECONDS)
def render(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Make the large files of one subdir for the head."""
    channel = Channel.objects.existing().filter(pk=payload["channel"]).first()
    if channel is None:
        return {"made": []}
    return {"made": stage2.render_head(channel.pk, payload["subdir"])}


@job_kind(stage2.BZ2_KIND, lane="heavy")
def make_bz2(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Make the .bz2 of a stored file that an old client asked for."""
    file = IndexFile.objects.filter(pk=payload["file"]).first()
    return {"size": stage2.make_bz2(file).size if file else 0}


@job_kind("channels.settle", lane="quick")
def settle(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Publish what a process that died had recorded and not yet indexed."""
    due = timezone.now() - timedelta(seconds=SETTLE_AFTER_SECONDS)
    found = sorted(set(DirtyName.objects.filter(marked_at__lt=due).values_list("channel_id", flat=True)))
    published, failed = [], []
    for pk in found:
        try:
            published.append([pk, publish_dirty(pk)])
        except Exception:
            # One channel that can't be published must not keep the others waiting.
            log.exception("channel %s could not be settled", pk)
            failed.append(pk)
    return {"channels": published, "failed": failed}


@job_kind("channels.housekeeping", lane="heavy")
def housekeeping(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Retention of every channel that asks for it, and the end of channels whose grace period is over."""
    deleted = 0
    for channel in Channel.objects.existing().select_related("organization").filter(keep_builds__gt=0):
        context.check_cancelled()
        deleted += retention.apply_retention(actor=SYSTEM, channel=channel)
    return {"deleted": deleted, "ended": channels.end_channels(actor=SYSTEM)}


schedules.register("channels settle", kind="channels.settle", payload={}, every_seconds=10)
schedules.register("channels housekeeping", kind="channels.housekeeping", payload={}, crontab="17 3 * * *")
