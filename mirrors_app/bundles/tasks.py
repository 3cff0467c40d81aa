"""Job kinds of bundles: each a few lines from an id to a service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from condahub.jobs import schedules as clock
from condahub.jobs.context import JobContext
from condahub.jobs.registry import job_kind
from mirrors_app.bundles import exporting, importing, sweeping
from mirrors_app.models import BundleExport, BundleImport

TIMEOUT_SECONDS = 24 * 3600
MAX_ATTEMPTS = 5
LEASE_SECONDS = 30


class JobWatch(exporting.Watch):
    """A run's progress and log, as its job shows them."""

    def __init__(self, context: JobContext) -> None:
        self._context = context

    def phase(self, name: str) -> None:
        self._context.progress(phase=name, unit="bytes")

    def progress(self, done: int, total: int) -> None:
        self._context.progress(done, total)

    def log(self, line: str) -> None:
        self._context.log(line)

    def check(self) -> None:
        self._context.check_cancelled()


@job_kind(exporting.EXPORT_KIND, lane="heavy", timeout_seconds=TIMEOUT_SECONDS, max_attempts=MAX_ATTEMPTS, lease_seconds=LEASE_SECONDS)
def export_bundle(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Make a bundle, or go on making it."""
    export = BundleExport.objects.select_related("channel__organization", "stream", "key").filter(pk=payload["export"]).first()
    if export is None:
        return {}
    made = exporting.run_export(export, JobWatch(context))
    return {"export": made.pk, "revision": made.revision, "size": made.size, "manifest": made.manifest_sha256}


@job_kind(importing.IMPORT_KIND, lane="heavy", timeout_seconds=TIMEOUT_SECONDS, max_attempts=MAX_ATTEMPTS, lease_seconds=LEASE_SECONDS)
def import_bundle(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Verify and publish a bundle, or go on with it."""
    taken = BundleImport.objects.select_related("channel__organization").filter(pk=payload["import"]).first()
    if taken is None:
        return {}
    done = importing.run_import(taken, JobWatch(context))
    return {"import": done.pk, "state": str(done.state), "revision": done.revision, **done.result}


@job_kind(sweeping.SWEEP_KIND, lane="quick")
def forget_uploads(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Let go of uploads that nobody went on with, and of bundles that hold what was purged."""
    return {"forgotten": sweeping.forget_abandoned(), "withdrawn": sweeping.withdraw_purged()}


clock.register("bundle uploads", kind=sweeping.SWEEP_KIND, every_seconds=sweeping.SWEEP_EVERY_SECONDS)


@job_kind(sweeping.SETTLE_KIND, lane="quick")
def settle_lost(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Say of bundles whose job has ended without them that it has."""
    return dict(sweeping.settle_lost())


clock.register("bundles without a job", kind=sweeping.SETTLE_KIND, every_seconds=sweeping.SETTLE_EVERY_SECONDS)
