"""Job kinds of mirrors: each a few lines from an id to a service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from condahub.jobs import schedules as clock
from condahub.jobs.context import JobContext
from condahub.jobs.registry import job_kind
from mirrors_app.models import PLAN_KIND, SYNC_KIND
from mirrors_app.services import admitting, planning, schedules, syncing

# A first run over a large upstream takes a night.
SYNC_TIMEOUT_SECONDS = 48 * 3600
PLAN_TIMEOUT_SECONDS = 1800
DUE_EVERY_SECONDS = 30


@job_kind(SYNC_KIND, lane="heavy", timeout_seconds=SYNC_TIMEOUT_SECONDS)
def sync(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """One run of a mirror."""
    return syncing.run(context, mirror_id=payload["mirror"], trigger=payload["trigger"])


@job_kind(PLAN_KIND, lane="heavy", timeout_seconds=PLAN_TIMEOUT_SECONDS, max_attempts=1)
def plan(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """What a run would do."""
    return planning.plan(context, mirror_id=payload["mirror"], filters=payload.get("filters"))


@job_kind("mirrors.due", lane="quick")
def due(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Enqueue the mirrors whose time has come, close the books of runs whose worker is gone, and take back what was let in for a while."""
    return {"enqueued": schedules.enqueue_due(), "closed": syncing.close_lost_runs(), "ended": admitting.end_admissions()}


clock.register("mirrors due", kind="mirrors.due", every_seconds=DUE_EVERY_SECONDS)
