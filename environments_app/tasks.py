"""Job kinds of environments: each a few lines from an id to a service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings

from condahub.jobs import schedules
from condahub.jobs.context import JobContext
from condahub.jobs.registry import job_kind
from environments_app.building import links, pipeline, questions, settling
from environments_app.services.builds import BUILD_KIND, DROP_PREFIX_KIND
from environments_app.services.environments import LINKS_KIND

# A build has a limit of its own, which ends it with a sentence.
BUILD_TIMEOUT_SECONDS = 24 * 3600


@job_kind(BUILD_KIND, lane="heavy", lease_seconds=settings.CONDAHUB_BUILD_LEASE_SECONDS, timeout_seconds=BUILD_TIMEOUT_SECONDS)
def build(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Build an environment."""
    return pipeline.run(context, payload["build"])


@job_kind(LINKS_KIND, lane="quick")
def point_links(context: JobContext, payload: Mapping[str, Any]) -> None:
    """Bring an environment's folders up to date."""
    links.refresh(payload["environment"])


@job_kind(settling.SETTLE_KIND, lane="quick")
def settle(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """End builds whose worker will not come back."""
    return {"builds": settling.settle(), "tokens": questions.forget_expired_tokens()}


@job_kind(DROP_PREFIX_KIND, lane="quick")
def drop_prefix(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Remove the folder of a deleted build."""
    return {"removed": settling.drop_prefix(payload["prefix"])}


schedules.register("environments settle", kind=settling.SETTLE_KIND, payload={}, every_seconds=settling.SETTLE_EVERY_SECONDS)
