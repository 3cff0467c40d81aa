"""One attempt at a build: what is known of it while it runs, its phases and their times, and its child processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from channels_app.models import Channel
from condahub.accounts.policy import Actor
from condahub.engine import protocol
from condahub.engine.lock import HubLock
from condahub.engine.runner import Answer, answer_of, child_argv, child_environment
from condahub.errors import HubError
from condahub.jobs.child import Conversation
from condahub.jobs.context import JobContext
from environments_app.building import access, folders
from environments_app.building.limits import Limits
from environments_app.models import Build, BuildState, Phase

# Of an engine child that has taken more of the limit than this, the next request gets a fresh one.
MAX_SHARE_KEPT = 0.5
POST_LINK = "-post-link.sh"


class Engine:
    """The child that solves and installs for one attempt: it starts while the attempt still gets ready. A context manager."""

    def __init__(self, max_memory_bytes: int) -> None:
        self._max_memory_bytes = max_memory_bytes
        self._child = self._start()

    def _start(self) -> Conversation:
        hosts = access.engine_hosts()
        return Conversation(child_argv("solve", "install"), env=child_environment(hosts), max_memory_bytes=self._max_memory_bytes)

    def child(self) -> Conversation:
        """One that can be asked."""
        if self._child.peak_memory_bytes > MAX_SHARE_KEPT * self._max_memory_bytes:
            self._child.close()
        if not self._child.is_open:
            self._child = self._start()
        return self._child

    def close(self) -> None:
        """No process of it is left. Safe to repeat."""
        self._child.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True)
class Scripts:
    """Those that ran, as a build names them, and what they wrote: sha256 and size of the blob, '' for none."""

    ran: tuple[dict[str, str], ...] = ()
    sha256: str = ""
    size: int = 0


NO_SCRIPTS = Scripts()


@dataclass
class BuildContext:
    """What every phase gets. lock: what the phases before found, None before the solve; token: reads `channels`, only on stdin.

    engine: the child for solving and installing; staging: the folder that the phases write to, moved to `prefix`, for which
    its files are written, when all are done.
    """

    build: Build
    job: JobContext
    author: Actor
    limits: Limits
    channels: tuple[Channel, ...]
    engine_channels: tuple[protocol.Channel, ...]
    token: str = field(repr=False)
    deadline: float
    engine: Engine
    lock: HubLock | None = None
    timings: dict[str, float] = field(default_factory=dict)
    conflict: dict[str, Any] | None = None
    size: int = 0
    link_scripts: list[str] = field(default_factory=list)
    scripts: Scripts = NO_SCRIPTS

    @property
    def request(self) -> dict[str, Any]:
        """What is built: see environments_app.services.requests."""
        return dict(self.build.request)

    @property
    def platform(self) -> str:
        """The platform of this machine, whose packages are installed."""
        return folders.current_platform()

    @property
    def staging(self) -> Path:
        return folders.staging(self.build.key, self.job.job.fencing)

    @property
    def prefix(self) -> Path:
        return folders.prefix(self.build.key)

    @property
    def known_lock(self) -> HubLock:
        """The lock, once there is one."""
        assert self.lock is not None
        return self.lock

    def ran_alike(self, earlier: Build) -> bool:
        """Whether as many scripts of packages ran in an earlier build of the same ones as may run in this."""
        if not self.limits.link_scripts:
            return not earlier.scripts_sha256
        return not any(path.endswith(POST_LINK) for path in earlier.link_scripts)

    def remaining_seconds(self) -> float:
        """Until the whole build's time limit. Raises HubError `timed_out` when that is past."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise timed_out(self.limits.build_seconds)
        return left

    @contextmanager
    def phase(self, phase: Phase) -> Iterator[None]:
        """Say that this phase runs, and note what it took."""
        self.enter(phase)
        started = time.monotonic()
        try:
            yield
        finally:
            self.timings[phase] = round(self.timings.get(phase, 0.0) + time.monotonic() - started, 3)

    def enter(self, phase: Phase) -> None:
        self.job.check_cancelled()
        self.build.phase = phase
        Build.objects.filter(pk=self.build.pk, state=BuildState.RUNNING).update(phase=phase)
        self.job.progress(phase=phase)

    def run_engine(
        self,
        request: protocol.Request,
        *,
        timeout_seconds: float | None = None,
        on_progress: Callable[[dict[str, Any]], None] | None = None,
    ) -> Answer:
        """Have a child answer a request within the build's limits; its progress and log are the job's. Raises HubError."""
        # What is left may be less than what the phase may take: then it is the build that takes too long.
        left = self.remaining_seconds()
        told = timeout_seconds if timeout_seconds is not None and timeout_seconds < left else None
        limit = left if told is None else told
        value = protocol.stdin_of(request)
        try:
            if isinstance(request, protocol.Solve | protocol.Install):
                result = self.job.ask(self.engine.child(), value, timeout_seconds=limit, on_output=self._hear, on_progress=on_progress)
            else:
                # What runs or reads strangers' files in other ways gets a process that never had the token.
                result = self.job.run_child(
                    child_argv(),
                    stdin=value,
                    env=child_environment(access.engine_hosts()),
                    timeout_seconds=limit,
                    max_memory_bytes=self.limits.memory_bytes,
                    on_output=self._hear,
                    on_progress=on_progress,
                )
        except HubError as error:
            if error.code == "timed_out" and error.status == 422 and told is None:
                raise timed_out(self.limits.build_seconds) from None
            raise
        return answer_of(request, result)

    def _hear(self, said: dict[str, Any]) -> None:
        if isinstance(said.get("conflict"), dict):
            self.conflict = said["conflict"]


def timed_out(seconds: int) -> HubError:
    return HubError(
        f"The build took longer than the {seconds:,} seconds that it may take.",
        code="timed_out",
        status=422,
        hint="Ask for less, or ask the organization's owner or IT for more time.",
    )
