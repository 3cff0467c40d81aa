"""The world of the API's tests with environments in it, and builds without an engine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping

import pytest
from django.utils import timezone

from condahub.accounts.policy import Actor
from condahub.jobs import registry
from condahub.jobs.registry import job_kind
from environments_app.models import Build, BuildPackage, BuildState, Environment
from environments_app.services.builds import BUILD_KIND, move, submit_specification
from environments_app.services.environments import activate_build
from tests.api.conftest import World, _fresh_memories, world

__all__ = ["_fresh_memories", "world"]

SPEC = "name: tools\nchannels: [outer]\ndependencies:\n  - open >=1\n"
Finished = Callable[..., Build]


@pytest.fixture
def builder() -> Iterator[None]:
    """A hub in which somebody would run builds: so that they are queued."""
    known = dict(registry._kinds)
    if BUILD_KIND not in known:
        job_kind(BUILD_KIND, lane="heavy")(lambda context, payload: None)
    yield
    registry._kinds.clear()
    registry._kinds.update(known)


@pytest.fixture
def submit(world: World, builder: None) -> Finished:
    """`submit("owner", name=..., text=...)` queues a build in acme."""

    def run(who: str = "contributor", *, name: str = "", text: str = SPEC) -> Build:
        return submit_specification(actor=Actor.of(world.people[who]), organization=world.acme, text=text, name=name)

    return run


def finish(build: Build, packages: Mapping[str, str] | None = None, *, size: int = 1000, current: bool = True) -> Build:
    """The build as it is when it ended well, with packages `{name: version}` on linux-64."""
    assert move(build, BuildState.RUNNING, started_at=timezone.now())
    rows = [
        BuildPackage(
            build=build,
            platform="linux-64",
            name=name,
            version=version,
            build_string="h0_0",
            subdir="linux-64",
            channel="outer",
            filename=f"{name}-{version}-h0_0.conda",
            sha256=hashlib.sha256(f"{name} {version}".encode()).hexdigest(),
            size=size,
        )
        for name, version in (packages or {"open": "1.0"}).items()
    ]
    BuildPackage.objects.bulk_create(rows)
    assert move(build, BuildState.COMPLETED, size=size * len(rows), package_count=len(rows))
    if current:
        environment = Environment.objects.select_related("organization").get(pk=build.environment_id)
        from condahub.accounts.policy import SYSTEM

        activate_build(actor=SYSTEM, environment=environment, build=build)
    build.refresh_from_db()
    return build
