"""The pip phase of a build: resolve beside what conda linked, fetch, keep, and put the wheels into the staging folder."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from django.conf import settings

from condahub.engine import prefix as prefixes
from condahub.engine.lock import HubLock
from condahub.engine.protocol import LinkWheels, LinkWheelsAnswer
from condahub.engine.runner import child_environment
from condahub.errors import HubError
from condahub.jobs.context import JobContext
from condahub.net.guard import Guard, port_of
from condahub.net.proxy import GuardedProxy
from environments_app.building import folders
from environments_app.building.context import BuildContext
from environments_app.building.limits import Limits
from environments_app.pip import wheels
from environments_app.pip.protocol import Resolve, Resolved, SourceBuilds

RESOLVE_SECONDS = 300.0


@dataclass(frozen=True)
class Asking:
    """Whose requirements are resolved by which job. request: see environments_app.services.requests; seconds: that it may take."""

    job: JobContext
    organization_id: int
    request: Mapping[str, Any]
    limits: Limits
    seconds: float


def run(context: BuildContext) -> HubLock:
    """The lock with its wheels, which lie in the staging folder then, if this machine's platform is in it. Raises HubError.

    A lock that names wheels already, and a request without pip lines, is taken as it is: the very same wheels are put there, those
    that the organization never had from the index of its settings.
    """
    organization_id = context.build.environment.organization_id
    asking = Asking(context.job, organization_id, context.request, context.limits, context.remaining_seconds())
    with _folder() as folder:
        lock = context.known_lock
        if context.request.get("pip"):
            staging = context.staging if context.platform in lock.platforms else None
            resolved = _resolved(asking, lock, folder, prefix=staging, baked=context.prefix)
            wheels.keep(organization_id, resolved.wheels)
            lock = resolved.lock
        elif left := wheels.missing(organization_id, lock):
            resolved = _resolved(asking, left, folder, prefix=None)
            wheels.keep(organization_id, resolved.wheels)
            known = {record.sha256: record for platform in resolved.lock.platforms.values() for record in platform.pypi}
            lock = wheels.with_wheels(lock, lambda record: known.get(record.sha256, record))
        if context.platform in lock.platforms and lock.platform(context.platform).pypi:
            _link(context, lock, folder)
        return lock


def would_be(asking: Asking, lock: HubLock, prefix: Path) -> HubLock:
    """The lock with the wheels that it would get now, which are not kept. prefix: the folder of its conda packages. Raises HubError."""
    with _folder() as folder:
        return _resolved(asking, lock, folder, prefix=prefix, baked=prefix).lock


def _resolved(asking: Asking, lock: HubLock, folder: Path, *, prefix: Path | None, baked: Path | None = None) -> Resolved:
    """prefix: the folder of the conda packages; baked: what it is written for."""
    options = asking.request.get("pip_options", {})
    index = options.get("index_url") or ""
    if not index:
        raise HubError(
            "No index of pip packages is set for this environment.",
            code="no_pip_index",
            status=422,
            hint="Name one with '--index-url', or ask IT for the setting 'pip_index'.",
        )
    with (
        GuardedProxy(Guard.parse(settings.CONDAHUB_PRIVATE_NETWORKS_ALLOWED), own=_own_doors()) as proxy,
        _sources(asking, folder, baked) as sources,
    ):
        request = Resolve(
            lock=lock,
            requirements=tuple(asking.request.get("pip", ())),
            platform=folders.current_platform(),
            prefix=str(prefix or ""),
            index=index,
            extra_indexes=tuple(options.get("extra_index_urls", ())),
            prerelease=bool(options.get("pre")),
            proxy=proxy.address,
            folder=str(folder),
            cache_folder=str(_uv_cache(asking.organization_id)),
            known=wheels.known_paths(asking.organization_id),
            max_bytes=asking.limits.environment_bytes,
            timeout_seconds=min(RESOLVE_SECONDS, asking.seconds),
            exclude_newer=asking.request.get("exclude_newer", ""),
            sources=sources,
        )
        # The proxy's address is in the request: whatever else the child were to try goes to a port where nothing listens.
        result = asking.job.run_child(
            [sys.executable, "-s", "-P", "-m", "environments_app.pip.child"],
            stdin=msgspec.to_builtins(request),
            env=child_environment(()),
            timeout_seconds=asking.seconds,
            max_memory_bytes=asking.limits.memory_bytes,
        )
        for host in sorted(set(proxy.refused)):
            asking.job.log(
                f"A connection to '{host}' was refused: it is not allowed, or leads to an address that is not public.", "warning"
            )
    return msgspec.convert(result, Resolved)


@contextmanager
def _sources(asking: Asking, folder: Path, baked: Path | None) -> Iterator[SourceBuilds | None]:
    """How source distributions are built, where they may be."""
    if not asking.limits.sdists or baked is None:
        yield None
        return
    with wheels.built_before(asking.organization_id, folder) as known:
        yield SourceBuilds(
            prefix=str(baked), seconds=asking.seconds, memory_bytes=asking.limits.memory_bytes, known=known, hidden=folders.hidden()
        )


def _link(context: BuildContext, lock: HubLock, folder: Path) -> None:
    records = lock.platform(context.platform).pypi
    with wheels.at_hand(context.build.environment.organization_id, records, folder) as paths:
        answer = context.run_engine(
            LinkWheels(
                lock=lock.only(context.platform),
                platform=context.platform,
                staging=str(context.staging),
                prefix=str(context.prefix),
                wheels=paths,
                max_bytes=max(0, context.limits.environment_bytes - context.size),
            )
        )
    assert isinstance(answer, LinkWheelsAnswer)
    context.size += answer.total_bytes
    context.job.log(f"{answer.packages} wheels, {answer.files} files, {answer.total_bytes} bytes")
    for warning in answer.warnings:
        context.job.log(warning, "warning")


def _own_doors() -> frozenset[tuple[str, int]]:
    parts = urlsplit(settings.CONDAHUB_PUBLIC_URL)
    return frozenset({(parts.hostname or "", port_of(parts))})


def _uv_cache(organization_id: int) -> Path:
    """What uv remembers of indexes for one organization's builds."""
    folder = folders.caches() / f"p{organization_id}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def _folder() -> Iterator[Path]:
    folders.stagings().mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".wheels-", dir=folders.stagings()))
    try:
        yield folder
    finally:
        prefixes.remove(folder)
