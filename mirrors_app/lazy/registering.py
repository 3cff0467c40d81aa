"""What lazy mirrors give the rooms below: the source of proxy channels, the job that refreshes their index, and a sweep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from channels_app import sources
from channels_app.models import ChannelKind
from condahub.jobs import schedules
from condahub.jobs.context import JobContext
from condahub.jobs.registry import job_kind
from mirrors_app.lazy import fetching, leases, refreshing
from mirrors_app.lazy.source import SOURCE
from mirrors_app.models import REFRESH_KIND

REFRESH_TIMEOUT_SECONDS = 3600
SWEEP_EVERY_SECONDS = 300


def register() -> None:
    """Called once, when the app is ready."""
    sources.register(ChannelKind.PROXY, SOURCE)
    schedules.register("proxies sweep", kind="mirrors.proxies_sweep", every_seconds=SWEEP_EVERY_SECONDS)


@job_kind(REFRESH_KIND, lane="heavy", timeout_seconds=REFRESH_TIMEOUT_SECONDS)
def refresh(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Bring a proxy's index to the upstream's present one."""
    return refreshing.refresh(context, mirror_id=payload["mirror"])


@job_kind("mirrors.proxies_sweep", lane="quick")
def sweep(context: JobContext, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Forget failures that are over, and remove what processes left that died while they fetched."""
    parts = leases.sweep()
    for part in parts:
        fetching.remove_part(part)
    return {"parts": len(parts)}
