"""Environments with builds in them, made without an engine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from django.utils import timezone

from channels_app.models import Advisory
from condahub.accounts import services
from condahub.accounts.policy import SYSTEM, Actor
from condahub.engine.lock import HubLock, PlatformLock
from condahub.jobs.registry import job_kind, kind_names
from condahub.storage.blobs import blobs
from environments_app.building.outcome import keep_lock
from environments_app.models import Build, BuildPackage, BuildState, Environment, Wheel
from environments_app.services.builds import BUILD_KIND, move, submit_specification
from environments_app.services.environments import activate_build, create_environment
from tests.api.conftest import World

SPEC = "name: tools\nchannels: [outer]\ndependencies:\n  - open >=1\n"
Submit = Callable[..., Build]

# Somebody would run builds: so that they are queued. Nothing in these tests runs a job.
if BUILD_KIND not in kind_names():
    job_kind(BUILD_KIND, lane="heavy")(lambda context, payload: None)


def queue(world: World, who: str = "contributor", *, name: str = "", text: str = SPEC) -> Build:
    """A build that waits, asked for by this person of acme."""
    return submit_specification(actor=Actor.of(world.people[who]), organization=world.acme, text=text, name=name)


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
        activate_build(actor=SYSTEM, environment=environment, build=build)
    build.refresh_from_db()
    return build


def make_environments(world: World) -> dict[str, Any]:
    """For the table of the API's doors: `tools`, private, with three builds of which the last is current, and `shared`, public."""
    for _ in range(3):
        build = finish(queue(world))
        Build.objects.filter(pk=build.pk).update(lock=keep_lock(HubLock.of(channels=(), platforms={"linux-64": PlatformLock()})))
    wheel = add_wheel(world, Build.objects.get(environment=build.environment, number=1))
    create_environment(actor=Actor.of(world.people["owner"]), organization=world.acme, name="shared", visibility="public")
    guest = services.create_user(actor=SYSTEM, username="guest")
    given = services.grant(actor=Actor.of(world.people["owner"]), on=build.environment, role="reader", user=guest)
    Advisory.objects.create(osv_id="CVE-2026-1", name="open", key="open", versions=["1.0"])
    return {
        "environment_grant": given.pk,
        "environment": "tools",
        "open": "shared",
        "build": 1,
        "artifact": "archive",
        "platform": "linux-64",
        "wheel": wheel,
    }


def add_wheel(world: World, build: Build, data: bytes = b"a wheel") -> str:
    """Have the build be made of a wheel too; its sha256."""
    sha256 = blobs("artifacts").put_bytes(data)
    facts = {"name": "wheely", "version": "1.0", "filename": "wheely-1.0-py3-none-any.whl", "sha256": sha256, "size": len(data)}
    Wheel.objects.create(organization=world.acme, address="https://wheels.example/w.whl", **facts)
    BuildPackage.objects.create(build=build, kind=BuildPackage.Kind.PYPI, platform="linux-64", **facts)
    return sha256
