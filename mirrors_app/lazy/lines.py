"""The ways to the upstreams of lazy mirrors, kept open between one package and the next."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from mirrors_app.core.config import MirrorConfig
from mirrors_app.core.fetch import Fetcher
from mirrors_app.models import Mirror
from mirrors_app.services import configuring

# Somebody waits: a run at night may be more patient.
ATTEMPTS = 3
FIRST_BACKOFF_SECONDS = 0.1
MAX_BACKOFF_SECONDS = 1.0
MAX_RETRY_AFTER_SECONDS = 3.0
CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0
# So long a change of a mirror's settings may take to count.
KEPT_SECONDS = 30.0


@dataclass(slots=True)
class Settings:
    """A mirror's settings, and the files that they stand in until `held` is closed."""

    config: MirrorConfig
    held: ExitStack


@dataclass(slots=True)
class Line:
    """One mirror's way out with its connections; upstreams: in the order in which they are asked."""

    fetcher: Fetcher
    upstreams: tuple[str, ...]
    held: ExitStack
    opened_at: float = field(default_factory=time.monotonic)
    in_use: int = 0
    retired: bool = False


def read_settings(mirror: Mirror) -> Settings:
    """From the database. Raises BadConfiguration, Unsealable."""
    with ExitStack() as stack:
        config = stack.enter_context(configuring.core_config(mirror))
        patient = config.fetch
        prompt = replace(
            patient,
            attempts=ATTEMPTS,
            first_backoff_seconds=FIRST_BACKOFF_SECONDS,
            max_backoff_seconds=MAX_BACKOFF_SECONDS,
            max_retry_after_seconds=MAX_RETRY_AFTER_SECONDS,
            connect_seconds=min(patient.connect_seconds, CONNECT_SECONDS),
            read_seconds=min(patient.read_seconds, READ_SECONDS),
        )
        return Settings(replace(config, fetch=prompt), stack.pop_all())


class Lines:
    """Of one event loop, and used in it alone."""

    def __init__(self) -> None:
        self._lines: dict[int, Line] = {}

    def has(self, mirror_id: int) -> bool:
        line = self._lines.get(mirror_id)
        return line is not None and time.monotonic() - line.opened_at < KEPT_SECONDS

    async def take(self, mirror_id: int, settings: Settings | None) -> Line:
        """The mirror's line, to be given back; settings: given where there was none a moment ago."""
        line = self._lines.get(mirror_id)
        if settings is not None and self.has(mirror_id):
            settings.held.close()
        elif settings is not None:
            if line is not None:
                await self._retire(mirror_id, line)
            fetcher = Fetcher(settings.config.fetch, settings.config.credentials)
            await fetcher.__aenter__()
            line = self._lines[mirror_id] = Line(fetcher, settings.config.upstreams, settings.held)
        assert line is not None
        line.in_use += 1
        return line

    async def give_back(self, mirror_id: int, line: Line, *, failed: bool) -> None:
        """failed: what it remembers of a host that did not answer shall not outlive the fault."""
        line.in_use -= 1
        if line.retired:
            await self._close(line)
        elif failed and self._lines.get(mirror_id) is line:
            await self._retire(mirror_id, line)

    async def close(self) -> None:
        """All of them, at the end."""
        for mirror_id, line in list(self._lines.items()):
            await self._retire(mirror_id, line)

    async def _retire(self, mirror_id: int, line: Line) -> None:
        self._lines.pop(mirror_id, None)
        line.retired = True
        await self._close(line)

    async def _close(self, line: Line) -> None:
        if not line.in_use:
            await line.fetcher.__aexit__(None, None, None)
            line.held.close()
