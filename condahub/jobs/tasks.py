"""The jobs app's own housekeeping."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from condahub.jobs import schedules, services
from condahub.jobs.context import JobContext
from condahub.jobs.registry import job_kind


@job_kind("jobs.prune", lane="quick")
def prune(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    return {"deleted": services.prune()}


schedules.register("prune ended jobs", "jobs.prune", crontab="17 3 * * *")
