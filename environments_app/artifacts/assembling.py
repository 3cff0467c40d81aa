"""Puts a build's environment together again of its lock: to pack it, or to have its folder back, with the same bytes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from django.conf import settings

from channels_app.models import Channel
from condahub.accounts.models import ApiToken
from condahub.engine import prefix as prefixes
from condahub.engine import protocol
from condahub.engine.lock import HubLock
from condahub.engine.protocol import Compile, Install, LayOver, LinkWheels, Request
from condahub.engine.runner import Answer, answer_of, child_argv, child_environment
from condahub.errors import HubError
from condahub.jobs.context import JobContext
from environments_app.artifacts.texts import lock_of
from environments_app.building import access, folders, scripts
from environments_app.building.limits import limits_of
from environments_app.models import Build
from environments_app.pip import wheels


class Assembly:
    """One build on one platform, in one job."""

    def __init__(self, job: JobContext, build: Build, platform: str) -> None:
        self.job, self.build, self.platform = job, build, platform
        self.limits = limits_of(build.environment)
        self._deadline = time.monotonic() + self.limits.build_seconds

    @property
    def prefix(self) -> Path:
        """Where the environment's files are written for."""
        return folders.prefix(self.build.prefix or self.build.key)

    @property
    def is_here(self) -> bool:
        """Whether it is this machine's platform."""
        return self.platform == folders.current_platform()

    @property
    def has_folder(self) -> bool:
        """Whether the finished folder is at its place."""
        return self.is_here and bool(self.build.prefix) and self.prefix.is_dir()

    @property
    def caches(self) -> tuple[Path, ...]:
        return folders.shared_cache(), folders.organization_cache(self.build.environment.organization_id)

    def run(self, request: Request) -> Answer:
        """Run a request in a child with the limits that builds there have. Raises HubError."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise HubError(f"It took longer than the {self.limits.build_seconds:,} seconds that it may take.", code="timed_out", status=422)
        result = self.job.run_child(
            child_argv(),
            stdin=protocol.stdin_of(request),
            env=child_environment(access.engine_hosts()),
            timeout_seconds=left,
            max_memory_bytes=self.limits.memory_bytes,
        )
        return answer_of(request, result)

    @contextmanager
    def assembled(self, *, compiled: bool) -> Iterator[Path]:
        """The environment in a folder of its own, which is gone at the end unless it was moved. Raises HubError."""
        staging = folders.stagings() / f"artifact-{self.build.key}-{uuid4().hex[:8]}"
        author = access.author_of(self.build)
        channels = access.channels_of(self.build, author)
        lock = lock_of(self.build).only(self.platform)
        token, secret = access.reading_token(
            owner=author, channels=channels, name=f"artifact {self.build.key}", seconds=self.limits.build_seconds
        )
        try:
            self._install(lock, channels, secret, staging)
            self._lay_over(staging)
            self._link_wheels(lock, staging)
            if compiled and self.is_here and settings.CONDAHUB_COMPILE_BYTECODE:
                self.job.progress(phase="compile")
                self.run(Compile(prefix=str(staging), workers=2))
            yield staging
        finally:
            ApiToken.objects.filter(pk=token.pk).delete()
            prefixes.remove(staging)

    def _install(self, lock: HubLock, channels: list[Channel], token: str, staging: Path) -> None:
        self.job.progress(phase="link")
        at = {one.name: one.revision for one in lock.channels}
        organization_cache = folders.organization_cache(self.build.environment.organization_id)
        self.run(
            Install(
                lock=lock,
                platform=self.platform,
                # As it was found: what has been deleted since is still to be had at its revision.
                channels=tuple(_at_revision(one, at.get(one.name)) for one in access.engine_channels(channels)),
                staging=str(staging),
                prefix=str(self.prefix),
                organization_cache=str(organization_cache),
                shared_cache=str(folders.shared_cache()),
                token=token,
                specs=tuple(self.build.request.get("dependencies", ())),
                variables=self.build.request.get("variables", {}),
            )
        )

    def _lay_over(self, staging: Path) -> None:
        if self.build.scripts_sha256 and self.is_here:
            with scripts.at_hand(self.build.scripts_sha256, staging.parent) as overlay:
                self.run(LayOver(staging=str(staging), overlay=str(overlay)))

    def _link_wheels(self, lock: HubLock, staging: Path) -> None:
        records = lock.platform(self.platform).pypi
        if not records:
            return
        self.job.progress(phase="pip")
        with wheels.at_hand(self.build.environment.organization_id, records, staging.parent) as paths:
            self.run(LinkWheels(lock=lock, platform=self.platform, staging=str(staging), prefix=str(self.prefix), wheels=paths))


def _at_revision(channel: protocol.Channel, revision: int | None) -> protocol.Channel:
    return protocol.Channel(
        name=channel.name,
        address=channel.address,
        revision=revision if revision is not None else channel.revision,
        public=channel.public,
        public_address=channel.public_address,
    )
