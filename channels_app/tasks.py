"""Job kinds of channels: each a few lines from an id to a service."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.utils import timezone

from channels_app.index import stage2
from channels_app.index.publish import publish_dirty
from channels_app.models import Channel, DirtyName, IndexFile, PackageFile
from channels_app.services import applying, channels, reindexing, retention, scopes
from channels_app.virtual import follow
from condahub.accounts.policy import SYSTEM
from condahub.errors import HubError
from condahub.jobs import schedules
from condahub.jobs.context import JobContext
from condahub.jobs.registry import job_kind

log = logging.getLogger(__name__)
SETTLE_AFTER_SECONDS = 5
# Names of a large change that wait for longer belong to a job that will not come back.
GIVEN_UP_AFTER_SECONDS = 3600
HOLDS_EVERY_SECONDS = 30
# All bytes of a large channel.
VERIFY_TIMEOUT_SECONDS = 12 * 3600
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
    given_up = timezone.now() - timedelta(seconds=GIVEN_UP_AFTER_SECONDS)
    left = set(DirtyName.objects.filter(marked_at__lt=given_up, waits=True).values_list("channel_id", flat=True))
    found = left | set(DirtyName.objects.filter(marked_at__lt=due, waits=False).values_list("channel_id", flat=True))
    published, failed = [], []
    for pk in sorted(found):
        try:
            published.append([pk, publish_dirty(pk, waiting=pk in left)])
        except Exception:
            # One channel that can't be published must not keep the others waiting.
            log.exception("channel %s could not be settled", pk)
            failed.append(pk)
    for pk in follow.behind():
        follow.order(pk)
    return {"channels": published, "failed": failed}


@job_kind(follow.FOLLOW_KIND, lane="quick", max_attempts=10)
def follow_members(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Bring a virtual channel's index to where its members are."""
    return {"revision": follow.follow(payload["channel"])}


@job_kind(scopes.APPLY_KIND, lane="quick", max_attempts=10)
def apply_policy(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Judge a channel's files by policy as it is now, and publish what changed as one revision."""
    context.progress(phase="judging", unit="files")
    done = applying.apply(
        channel_id=payload["channel"], check=context.check_cancelled, progress=lambda judged, total: context.progress(judged, total)
    )
    return {"judged": done.judged, "changed": done.changed, "revision": done.revision}


@job_kind("channels.holds", lane="quick")
def holds(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Ask for channels with files whose hold, or whose waiver, has run out to be judged anew."""
    due = PackageFile.objects.filter(verdict_changes_at__lte=timezone.now()).order_by().values_list("channel_id", flat=True).distinct()
    found = sorted(due)
    for pk in found:
        scopes.ask_to_apply(pk, actor_label="schedule")
    return {"channels": found, "names": follow.unsettle_due()}


@job_kind(retention.RETENTION_KIND, lane="quick")
def retain(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Let go of builds past the number that a channel keeps, after a publish or a change of that number."""
    channel = Channel.objects.existing().select_related("organization").filter(pk=payload["channel"]).first()
    return {"deleted": retention.apply_retention(actor=SYSTEM, channel=channel, name=payload["name"]) if channel else 0}


@job_kind("channels.housekeeping", lane="heavy")
def housekeeping(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Retention of every channel that asks for it, and the end of channels whose grace period is over."""
    deleted = 0
    for channel in Channel.objects.existing().select_related("organization").filter(keep_builds__gt=0):
        context.check_cancelled()
        deleted += retention.apply_retention(actor=SYSTEM, channel=channel)
    return {"deleted": deleted, "ended": channels.end_channels(actor=SYSTEM)}


@job_kind(reindexing.REINDEX_KIND, lane="heavy")
def reindex(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Make a channel's index anew from its files."""
    channel = Channel.objects.existing().filter(pk=payload["channel"]).first()
    return {"revision": reindexing.reindex(channel) if channel else None}


@job_kind(reindexing.VERIFY_KIND, lane="heavy", timeout_seconds=VERIFY_TIMEOUT_SECONDS)
def verify(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Read all bytes of a channel; fails, so that staff sees it, where they are not right."""
    channel = Channel.objects.filter(pk=payload["channel"]).first()
    if channel is None:
        return {"looked_at": 0}
    context.progress(phase="reading", unit="files")
    looked, wrong = reindexing.verify(channel, check=context.check_cancelled, progress=lambda done, total: context.progress(done, total))
    for sentence in wrong:
        context.log(sentence)
    if wrong:
        hint = "The job's log names them. Bring them back from a backup of the store, or purge them."
        raise HubError(f"{len(wrong)} files of '{channel.name}' are not right.", code="channel_not_whole", hint=hint, status=500)
    return {"looked_at": looked}


schedules.register("channels settle", kind="channels.settle", payload={}, every_seconds=10)
schedules.register("channels holds", kind="channels.holds", payload={}, every_seconds=HOLDS_EVERY_SECONDS)
schedules.register("channels housekeeping", kind="channels.housekeeping", payload={}, crontab="17 3 * * *")
