"""Job kinds of environments: each a few lines from an id to a service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings

from condahub.accounts.policy import SYSTEM
from condahub.jobs import schedules as clock
from condahub.jobs.context import JobContext
from condahub.jobs.registry import job_kind
from environments_app.building import links, pipeline, questions, refreshing, resuming, settling
from environments_app.services import retention, sandboxes, schedules, watching
from environments_app.services.builds import BUILD_KIND, DROP_PREFIX_KIND
from environments_app.services.environments import LINKS_KIND

# A build has a limit of its own, which ends it with a sentence.
BUILD_TIMEOUT_SECONDS = 24 * 3600
REFRESH_TIMEOUT_SECONDS = 2 * 3600
SCAN_TIMEOUT_SECONDS = 600


@job_kind(BUILD_KIND, lane="heavy", lease_seconds=settings.CONDAHUB_BUILD_LEASE_SECONDS, timeout_seconds=BUILD_TIMEOUT_SECONDS)
def build(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Build an environment."""
    return pipeline.run(context, payload["build"])


@job_kind(LINKS_KIND, lane="quick")
def point_links(context: JobContext, payload: Mapping[str, Any]) -> None:
    """Bring an environment's folders up to date."""
    links.refresh(payload["environment"])


@job_kind(resuming.RESUME_KIND, lane="quick")
def resume(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Build again what waited for a package, once it is there."""
    return resuming.resume(payload["request"])


@job_kind(settling.SETTLE_KIND, lane="quick")
def settle(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """End builds whose worker will not come back."""
    return {"builds": settling.settle(), "tokens": questions.forget_expired_tokens()}


@job_kind(DROP_PREFIX_KIND, lane="quick")
def drop_prefix(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Remove the folder of a deleted build."""
    return {"removed": settling.drop_prefix(payload["prefix"])}


@job_kind(schedules.REFRESH_KIND, lane="heavy", timeout_seconds=REFRESH_TIMEOUT_SECONDS)
def refresh(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Build an environment anew if it would come out newer."""
    return refreshing.refresh(context, payload["environment"])


@job_kind(schedules.DUE_KIND, lane="quick")
def due(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Ask for the looks at environments whose time has come."""
    return {"enqueued": schedules.enqueue_due()}


@job_kind(sandboxes.PROBE_KIND, lane="heavy")
def try_sandbox(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Say whether this machine, which builds, can hold the code of packages."""
    return {"problem": sandboxes.probe()}


@job_kind(retention.RETENTION_KIND, lane="quick")
def retain(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Let builds go that settings do not keep."""
    gone = retention.apply(actor=SYSTEM)
    return {action: sum(one.action == action for one in gone) for action in (retention.ARCHIVE, retention.DELETE)}


@job_kind(watching.SCAN_KIND, lane="quick", timeout_seconds=SCAN_TIMEOUT_SECONDS)
def scan(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Look at the watched files."""
    return watching.scan(check=context.check_cancelled)


clock.register("environments settle", kind=settling.SETTLE_KIND, payload={}, every_seconds=settling.SETTLE_EVERY_SECONDS)
clock.register("environments due", kind=schedules.DUE_KIND, every_seconds=schedules.DUE_EVERY_SECONDS)
clock.register("environments sandbox", kind=sandboxes.PROBE_KIND, every_seconds=sandboxes.PROBE_EVERY_SECONDS)
clock.register("environments retention", kind=retention.RETENTION_KIND, crontab=retention.RETENTION_CRONTAB)
if settings.CONDAHUB_WATCH:
    clock.register("environments watch", kind=watching.SCAN_KIND, every_seconds=watching.SCAN_EVERY_SECONDS)
