"""What becomes of bundles that nobody goes on with: uploads, those whose job ended without them, and those that hold what was purged."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from condahub.accounts.policy import SYSTEM
from condahub.audit.services import record as audit
from condahub.jobs.models import Job
from condahub.jobs.states import FINAL_STATES, JobState
from mirrors_app.bundles import exporting, rechecking
from mirrors_app.models import BundleExport, BundleImport, ExportState, ImportState

SWEEP_KIND = "mirrors.forget_uploads"
SWEEP_EVERY_SECONDS = 3600
SETTLE_KIND = "mirrors.settle_bundles"
SETTLE_EVERY_SECONDS = 30
_WAITING = (ImportState.RECEIVING, ImportState.READY)
# Somebody could still send the rest of these, or have them run again.
_OPEN = (*_WAITING, ImportState.REFUSED, ImportState.FAILED, ImportState.CANCELLED)


def forget_abandoned() -> list[int]:
    """Imports for which nothing came and nobody asked for `CONDAHUB_BUNDLE_UPLOAD_DAYS` (0: never): their ids.

    Their bytes go with the next garbage collection.
    """
    days = settings.CONDAHUB_BUNDLE_UPLOAD_DAYS
    if days <= 0:
        return []
    cutoff = timezone.now() - timedelta(days=days)
    return [pk for pk in list(_abandoned(cutoff).order_by("pk").values_list("pk", flat=True)) if _forget(pk, cutoff, days)]


def withdraw_purged() -> list[int]:
    """Bundles that hold a package which was purged since: their ids. Who purges means these bytes too."""
    withdrawn = []
    for export in BundleExport.objects.filter(state=ExportState.READY).select_related("channel__organization").order_by("pk"):
        found = rechecking.purged_since(export)
        if found is None:
            continue
        exporting.delete_export(actor=SYSTEM, export=export)
        sentence = f"It held '{found.subdir}/{found.filename}', which was purged: {found.reason}"
        BundleExport.objects.filter(pk=export.pk).update(error_code="purged", error_sentence=sentence[:2000])
        withdrawn.append(export.pk)
    return withdrawn


def settle_lost() -> dict[str, list[int]]:
    """Exports and imports that say they wait or run, though their job was cancelled or failed: their ids. They can be asked for again."""
    exports = BundleExport.objects.filter(state__in=(ExportState.WAITING, ExportState.RUNNING))
    imports = BundleImport.objects.filter(state__in=(ImportState.READY, ImportState.RUNNING)).exclude(job_id=None)
    lost: dict[str, list[int]] = {"exports": [], "imports": []}
    for export in exports.only("state", "job_id"):
        if (ended := _ended_without(export.job_id)) is not None:
            code, sentence, _ = ended
            same_export = BundleExport.objects.filter(pk=export.pk, state=export.state)
            told = f"{sentence} Ask for another."
            lost["exports"] += [export.pk] * same_export.update(state=ExportState.FAILED, error_code=code, error_sentence=told)
    for taken in imports.only("state", "job_id"):
        if (ended := _ended_without(taken.job_id)) is not None:
            code, sentence, state = ended
            same = BundleImport.objects.filter(pk=taken.pk, state=taken.state, job_id=taken.job_id)
            told = f"{sentence} Run it again."
            lost["imports"] += [taken.pk] * same.update(state=state, error_code=code, error_sentence=told, ended_at=timezone.now())
    return lost


def _ended_without(job_id: int | None) -> tuple[str, str, ImportState] | None:
    """(code, sentence, state of an import) where the job will not go on."""
    state = Job.objects.filter(pk=job_id).values_list("state", flat=True).first() if job_id is not None else None
    if state == JobState.CANCELLED:
        return "cancelled", "Its job was cancelled.", ImportState.CANCELLED
    if state in (JobState.FAILED, None):
        return "job_failed", "Its job ended without it.", ImportState.FAILED
    return None


def _abandoned(cutoff: datetime) -> QuerySet[BundleImport]:
    uploads = BundleImport.objects.filter(folder="", state__in=_OPEN, touched_at__lt=cutoff)
    return uploads.filter(Q(state__in=_WAITING) | Q(pieces__isnull=False) | Q(verified__isnull=False)).distinct()


@transaction.atomic
def _forget(pk: int, cutoff: datetime, days: int) -> bool:
    taken = BundleImport.objects.select_for_update(of=("self",)).select_related("channel").get(pk=pk)
    if taken.touched_at >= cutoff or taken.state not in _OPEN:
        return False
    if taken.job_id is not None and Job.objects.filter(pk=taken.job_id).exclude(state__in=FINAL_STATES).exists():
        return False
    taken.pieces.all().delete()
    taken.verified.all().delete()
    if taken.state in _WAITING:
        taken.state, taken.ended_at = ImportState.CANCELLED, timezone.now()
        taken.error_code, taken.error_sentence = "upload_abandoned", f"Nothing came for {days} days, so what was sent was let go of."
    taken.save(update_fields=["state", "ended_at", "error_code", "error_sentence"])
    audit(
        actor=SYSTEM,
        action="bundle.forget",
        target=f"channel:{taken.channel.name}",
        organization_id=taken.channel.organization_id,
        details={"import": taken.pk, "days": days},
    )
    return True
