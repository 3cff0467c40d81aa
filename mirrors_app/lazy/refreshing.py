"""Takes the upstream's index into a proxy channel, in the background: all of its metadata, and no bytes of packages."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from channels_app.index.publish import publish_dirty
from condahub.errors import HubError
from condahub.jobs import services as jobs
from condahub.jobs.context import JobContext
from mirrors_app.core import run as core
from mirrors_app.core.run import RunReport
from mirrors_app.lazy.target import LazyTarget
from mirrors_app.models import Mirror, MirrorMode, RunState, RunTrigger, SyncRun
from mirrors_app.services import attesting, retiring, syncing
from mirrors_app.services.configuring import core_config
from mirrors_app.services.coring import Beside

CAME_THROUGH = ("ok", "partial")
TELL_AGAIN_HOURS = 24


def refresh(context: JobContext, *, mirror_id: int) -> dict[str, Any]:
    """Bring a proxy's index to the upstream's present one. Where that fails the last good one stays, and grows stale."""
    mirror = Mirror.objects.existing().select_related("channel__organization").filter(pk=mirror_id, mode=MirrorMode.LAZY).first()
    if mirror is None or mirror.paused:
        return {"state": "gone" if mirror is None else "paused"}
    # What a run that died had decided and not yet shown in the index.
    publish_dirty(mirror.channel_id, waiting=True)
    report, revision = _sync(context, mirror)
    attested = attesting.bring(context, mirror, report) if report.status in CAME_THROUGH else 0
    if _is_news(mirror, report) or attested:
        entry = syncing.begin(mirror, context.job, RunTrigger.SCHEDULE)
        retired = retiring.retire(mirror, report, context.log)
        number = None if retired or attested else revision
        syncing.end(mirror, entry, report, RunState(report.status), number, retired=retired, attested=attested)
    elif report.status in CAME_THROUGH:
        Mirror.objects.filter(pk=mirror.pk).update(last_synced_at=timezone.now())
    context.log(f"{report.status}: {report.sentence()}")
    return {"state": report.status, "revision": revision}


def _sync(context: JobContext, mirror: Mirror) -> tuple[RunReport, int | None]:
    def may_publish() -> None:
        # Raises when the lease is another's by now.
        jobs.cancel_was_requested(context.job)

    target = LazyTarget(mirror, check=may_publish)
    try:
        with core_config(mirror) as config:
            beside = Beside(lambda watch, stopped: core.sync(config, target, progress=watch, cancelled=stopped))
            return beside.run(context, came_through=lambda made: made.status in CAME_THROUGH), target.revision
    except HubError as error:
        return RunReport(status="failed", reason=error.detail, hint=error.hint), None
    finally:
        target.close()


def _is_news(mirror: Mirror, report: RunReport) -> bool:
    """Whether it belongs into the history: an index is looked at every few minutes, and most often it is as it was."""
    if mirror.first_synced_at is None or report.added or report.changed or report.removed:
        return True
    last = SyncRun.objects.filter(mirror=mirror).order_by("-id").values_list("state", "ended_at").first()
    if last is None or last[0] != report.status:
        return True
    # A trouble that lasts is told of now and then.
    return report.status not in CAME_THROUGH and (last[1] is None or timezone.now() - last[1] > timedelta(hours=TELL_AGAIN_HOURS))
