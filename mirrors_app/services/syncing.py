"""One run of a mirror from its job to its entry in the history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import zstandard
from django.db import transaction
from django.utils import timezone

from channels_app.index.publish import publish_dirty
from channels_app.models import Channel, Package
from condahub.errors import HubError
from condahub.events.services import emit
from condahub.jobs import services as jobs
from condahub.jobs.context import JobCancelled, JobContext, JobReleased
from condahub.jobs.models import Job
from condahub.jobs.services import LeaseLost
from condahub.jobs.states import JobState
from condahub.storage.blobs import blobs
from mirrors_app.core import run as core
from mirrors_app.core.run import RunReport
from mirrors_app.filling.publishing import NAMESPACE, refresh_packages
from mirrors_app.filling.target import ChannelTarget
from mirrors_app.models import Mirror, MirroredFile, MirrorRefusal, RunState, RunTrigger, SyncRun
from mirrors_app.services import attesting, retiring
from mirrors_app.services.configuring import core_config
from mirrors_app.services.coring import Beside

# Of each list in a run's report; the whole of it is kept for the newest runs.
SHOWN_ITEMS = 200
KEPT_REPORTS = 30
KEPT_RUNS = 1000
MAX_REFUSALS = 5000
MAX_ALERTS = 20


class SyncFailed(HubError):
    """The run ended as failed or held; the next one is for the clock or a person, not for a retry at once."""

    code = "sync_failed"
    status = 422


def run(context: JobContext, *, mirror_id: int, trigger: str) -> dict[str, Any]:
    """Bring a mirror's channel to its upstream. Raises SyncFailed when nothing was changed; the history has it either way."""
    mirror = Mirror.objects.existing().select_related("channel__organization").filter(pk=mirror_id).first()
    if mirror is None:
        return {"state": "gone"}
    # What a run that died had decided and not yet shown in the index.
    publish_dirty(mirror.channel_id, waiting=True)
    if SyncRun.objects.filter(mirror=mirror, state=RunState.RUNNING).exists():
        _mend_lists(mirror)
    entry = begin(mirror, context.job, trigger)
    try:
        report, revision = _sync(context, mirror, entry)
        attested = attesting.bring(context, mirror, report) if report.status in ("ok", "partial") else 0
    except (JobReleased, LeaseLost):
        raise
    except JobCancelled:
        end(mirror, entry, RunReport(status="failed", reason="The run was cancelled."), RunState.CANCELLED, None)
        raise
    except HubError as error:
        end(mirror, entry, RunReport(status="failed", reason=error.detail, hint=error.hint), RunState.FAILED, None)
        raise SyncFailed(error.detail, code=error.code, hint=error.hint) from error
    except Exception:
        end(mirror, entry, RunReport(status="failed", reason="Something went wrong inside the hub."), RunState.FAILED, None)
        raise
    retired = retiring.retire(mirror, report, context.log)
    end(mirror, entry, report, RunState(report.status), None if retired or attested else revision, retired=retired, attested=attested)
    context.log(f"{report.status}: {report.sentence()}")
    if report.status in ("failed", "held"):
        raise SyncFailed(report.reason, code=f"sync_{report.status}", hint=report.hint)
    return {"run": entry.pk, "state": report.status, "revision": revision}


def _mend_lists(mirror: Mirror) -> None:
    """After a run that died: names that it had shown and not yet put into the lists."""
    names = set(MirroredFile.objects.filter(mirror=mirror).order_by().values_list("name", flat=True).distinct())
    refresh_packages(mirror.channel, names - set(Package.objects.filter(channel=mirror.channel).values_list("name", flat=True)))


def _sync(context: JobContext, mirror: Mirror, entry: SyncRun) -> tuple[RunReport, int | None]:
    def may_publish() -> None:
        jobs.cancel_was_requested(context.job)

    target = ChannelTarget(mirror, entry, check=may_publish)
    try:
        with core_config(mirror) as config:
            beside = Beside(lambda watch, stopped: core.sync(config, target, progress=watch, cancelled=stopped))
            report = beside.run(context, came_through=lambda made: made.status in ("ok", "partial", "held"))
    finally:
        target.close()
    return report, target.revision


@transaction.atomic
def begin(mirror: Mirror, job: Job, trigger: str) -> SyncRun:
    """The entry of this run: the same one, where a worker died and another goes on."""
    going = SyncRun.objects.filter(mirror=mirror, state=RunState.RUNNING).first()
    if going is not None and going.job_id == job.pk:
        return going
    if going is not None:
        _close_lost(going)
    return SyncRun.objects.create(
        mirror=mirror,
        job=job,
        trigger=trigger if trigger in RunTrigger.values else RunTrigger.PERSON,
        requested_by=job.actor_label,
        started_at=timezone.now(),
    )


@transaction.atomic
def end(
    mirror: Mirror,
    entry: SyncRun,
    report: RunReport,
    state: RunState,
    revision: int | None,
    *,
    retired: Sequence[tuple[str, str]] = (),
    attested: int = 0,
) -> None:
    """Write down how it ended, and tell those who want to know. retired: what the channel's own rule let go of afterwards; attested:
    packages whose attestations came.
    """
    now = timezone.now()
    told = {**report.as_dict(), "retired": list(retired), "retired_count": len(retired), "attested": attested}
    head = Channel.objects.values_list("head", flat=True).get(pk=mirror.channel_id) if revision is None else revision
    SyncRun.objects.filter(pk=entry.pk, state=RunState.RUNNING).update(
        state=state,
        ended_at=now,
        added=len(report.added),
        changed=len(report.changed),
        removed=len(report.removed),
        kept_though_gone=len(report.kept_though_gone),
        replaced=len(report.replaced),
        refused=len(report.refused),
        unchanged=report.unchanged,
        files=report.files,
        bytes=report.bytes,
        received_bytes=report.received_bytes,
        revision=head,
        reason=report.reason[:2000],
        hint=report.hint[:2000],
        report={key: value[:SHOWN_ITEMS] if isinstance(value, list) else value for key, value in told.items()},
        report_stored=_stored(told),
        held=[one._asdict() for one in report.held],
    )
    if state in (RunState.OK, RunState.PARTIAL):
        _succeeded(mirror, report, now)
    _forget_old_runs(mirror)
    _tell(mirror, entry, report, state)


def _succeeded(mirror: Mirror, report: RunReport, now: Any) -> None:
    values: dict[str, Any] = {"last_synced_at": now, "approved": []}
    # A run that was stopped early leaves part of what the upstream had from the beginning to the next one.
    if mirror.first_synced_at is None and not report.reason:
        values["first_synced_at"] = now
    Mirror.objects.filter(pk=mirror.pk).update(**values)
    wanted = {(one.subdir, one.filename[:255]): one.reason[:500] for one in report.refused[:MAX_REFUSALS]}
    known = {(one.subdir, one.filename): one for one in MirrorRefusal.objects.filter(mirror=mirror)}
    gone = [one.pk for key, one in known.items() if wanted.get(key) != one.reason]
    MirrorRefusal.objects.filter(pk__in=gone).delete()
    fresh = [key for key in wanted if key not in known or known[key].pk in set(gone)]
    MirrorRefusal.objects.bulk_create(
        [MirrorRefusal(mirror=mirror, subdir=key[0], filename=key[1], reason=wanted[key]) for key in fresh], batch_size=500
    )


def _stored(told: dict[str, Any]) -> str:
    """The whole report, where the row's is cut."""
    if not any(isinstance(value, list) and len(value) > SHOWN_ITEMS for value in told.values()):
        return ""
    return blobs(NAMESPACE).put_bytes(zstandard.compress(orjson.dumps(told)))


def whole_report(entry: SyncRun) -> dict[str, Any]:
    """Every item of a run's report, as far as it is still kept."""
    if not entry.report_stored:
        return dict(entry.report)
    found: dict[str, Any] = orjson.loads(zstandard.decompress(blobs(NAMESPACE).read_bytes(entry.report_stored)))
    return found


def _forget_old_runs(mirror: Mirror) -> None:
    entries = SyncRun.objects.filter(mirror=mirror).order_by("-id")
    old = list(entries.exclude(report_stored="").values_list("pk", flat=True)[KEPT_REPORTS:])
    SyncRun.objects.filter(pk__in=old).update(report_stored="")
    SyncRun.objects.filter(pk__in=list(entries.values_list("pk", flat=True)[KEPT_RUNS:])).delete()


def _tell(mirror: Mirror, entry: SyncRun, report: RunReport, state: RunState) -> None:
    payload = {"channel": mirror.channel.name, "run": entry.pk, "reason": report.reason or report.sentence(), "count": len(report.refused)}
    kinds = {RunState.FAILED: "mirror.failed", RunState.PARTIAL: "mirror.partial", RunState.HELD: "mirror.held"}
    only_replaced = state == RunState.PARTIAL and not report.refused and not report.reason
    if state in kinds and not only_replaced:
        if state == RunState.PARTIAL and not report.reason and report.refused:
            payload["reason"] = f"{report.refused[0].filename}: {report.refused[0].reason}"
        emit(type=kinds[state], target=mirror, object_name=mirror.channel.name, object_id=mirror.pk, payload=payload)
    for subdir, filename, before, after in report.replaced[:MAX_ALERTS]:
        emit(
            type="mirror.same_name_new_bytes",
            target=mirror,
            object_name=mirror.channel.name,
            object_id=mirror.pk,
            payload={"channel": mirror.channel.name, "filename": f"{subdir}/{filename}", "before": before, "after": after},
            once_key=f"mirror-bytes:{mirror.pk}:{subdir}/{filename}:{after[:32]}",
        )


def close_lost_runs() -> list[int]:
    """Runs whose job has ended without them, as when a worker died once too often; their ids."""
    closed = []
    for entry in SyncRun.objects.filter(state=RunState.RUNNING).select_related("job", "mirror__channel"):
        if entry.job is None or (entry.job.is_final and SyncRun.objects.filter(pk=entry.pk, state=RunState.RUNNING).exists()):
            _close_lost(entry)
            closed.append(entry.pk)
    return closed


def _close_lost(entry: SyncRun) -> None:
    cancelled = entry.job is not None and entry.job.state == JobState.CANCELLED
    reason = "The run was cancelled." if cancelled else "The worker stopped answering in the middle of this run."
    SyncRun.objects.filter(pk=entry.pk, state=RunState.RUNNING).update(
        state=RunState.CANCELLED if cancelled else RunState.FAILED, ended_at=timezone.now(), reason=reason
    )
    if not cancelled:
        report = RunReport(status="failed", reason=reason)
        with transaction.atomic():
            _tell(entry.mirror, entry, report, RunState.FAILED)
