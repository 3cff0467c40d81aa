"""A server of channels, the folders of one hub, and the realistic channel where there is one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from condahub.engine.lock import HubLock
from condahub.engine.prefix import place, remove, seal
from condahub.engine.protocol import Channel, Install, InstallAnswer, Platform, Solve, SolveAnswer
from condahub.engine.runner import run
from tests.engine.channels import TOKEN, Server, serving

TIMEOUT_SECONDS = 60.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path / "served") as running:
        yield running


@dataclass
class Hub:
    """The folders an installation would have, and the two verbs most tests begin with."""

    folder: Path

    def cache(self, organization: str) -> Path:
        return self.folder / "cache" / organization

    def solve(self, channels: list[Channel], *specs: str, organization: str = "one", **more: Any) -> HubLock:
        more.setdefault("platforms", (Platform(subdir="linux-64"),))
        request = Solve(
            channels=tuple(channels), specs=specs, cache_folder=str(self.folder / "repodata" / organization), token=TOKEN, **more
        )
        answer = run(request, timeout_seconds=TIMEOUT_SECONDS)
        assert isinstance(answer, SolveAnswer) and answer.lock is not None
        return answer.lock

    def request(self, lock: HubLock, channels: list[Channel], key: str, *, organization: str = "one", **more: Any) -> Install:
        return Install(
            lock=lock,
            platform=more.pop("platform", "linux-64"),
            channels=tuple(channels),
            staging=str(self.folder / "b" / f".staging-{key}"),
            prefix=str(self.folder / "b" / key),
            organization_cache=str(self.cache(organization)),
            shared_cache=str(self.cache("shared")),
            token=TOKEN,
            **more,
        )

    def install(self, lock: HubLock, channels: list[Channel], key: str, **more: Any) -> tuple[Path, InstallAnswer]:
        """Install, seal, move into place."""
        request = self.request(lock, channels, key, **more)
        answer = run(request, timeout_seconds=TIMEOUT_SECONDS)
        assert isinstance(answer, InstallAnswer)
        seal(Path(request.staging))
        place(Path(request.staging), Path(request.prefix))
        return Path(request.prefix), answer


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    hub = Hub(tmp_path / "hub")
    yield hub
    # Sealed folders keep pytest from cleaning up.
    for prefix in (hub.folder / "b").glob("*"):
        remove(prefix)


def output(*argv: object, **more: Any) -> str:
    """What a program of an environment prints, in an empty environment."""
    done = subprocess.run(
        [str(part) for part in argv], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"}, timeout=TIMEOUT_SECONDS, **more
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def lock_samples() -> list[Path]:
    """Lock files of other projects, from the folder that CONDAHUB_TEST_LOCKS names."""
    folder = os.environ.get("CONDAHUB_TEST_LOCKS", "")
    return sorted(path for path in Path(folder).rglob("*") if path.is_file()) if folder else []
