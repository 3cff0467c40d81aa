"""What artifacts and wheels give the rooms below: their job kinds, what they count against quotas, their garbage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings

from condahub.accounts import quota
from condahub.jobs.context import JobContext
from condahub.jobs.registry import job_kind
from condahub.ops import gc

MAKE_TIMEOUT_SECONDS = 6 * 3600


def register() -> None:
    """Called once, when the app is ready."""
    from environments_app.artifacts import archiving, collect, making, services
    from environments_app.pip import wheels

    lease = settings.CONDAHUB_BUILD_LEASE_SECONDS

    @job_kind(services.ARTIFACT_KIND, lane="heavy", lease_seconds=lease, timeout_seconds=MAKE_TIMEOUT_SECONDS)
    def make(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Pack what is wanted of a build on a platform."""
        return making.make(context, payload["build"], payload["platform"])

    @job_kind(archiving.RESTORE_KIND, lane="heavy", lease_seconds=lease, timeout_seconds=MAKE_TIMEOUT_SECONDS)
    def restore(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Put the folder of an archived build together again."""
        return archiving.restore(context, payload["build"])

    quota.register_usage("wheels", wheels.used_by_organization)
    # Rows first: what they let go of is garbage for the bytes after them.
    gc.register_collector("wheels", wheels.collect_wheels)
    gc.register_collector("artifacts", collect.collect_artifacts)
