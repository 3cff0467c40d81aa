"""Rows for measuring environments: many of them with a finished build each; packages of a large channel that can be solved."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator
from typing import Any

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from benchmarks import big_channel
from benchmarks.big_records import PYTHONS, RECORDS_A_NAME
from channels_app.index.publish import publish_dirty
from channels_app.models import Channel
from condahub.accounts.models import Organization
from condahub.accounts.policy import Actor
from condahub.jobs.models import Job
from environments_app.models import Build, BuildState, Environment
from environments_app.services.builds import submit_specification

# A question reads those that what it asks for can need: some dozens, as a usual one does.
STACK_NAMES, LAYERS = 240, 6
PACKAGES_A_BUILD = 50


def make_environments(actor: Actor, organization: Organization, channel: str, count: int) -> None:
    """So many environments, each with a completed build that is current."""
    for number in range(count):
        text = f"channels: [{channel}]\ndependencies: [name-{number}]\n"
        build = submit_specification(actor=actor, organization=organization, text=text, name=f"environment-{number}")
        now = timezone.now()
        Build.objects.filter(pk=build.pk).update(
            state=BuildState.COMPLETED, started_at=now, ended_at=now, package_count=PACKAGES_A_BUILD, size=10**8, job=None
        )
        Environment.objects.filter(pk=build.environment_id).update(current_build=build)
    Job.objects.all().delete()


def queries_of(path: str) -> int:
    """How many queries a GET takes once this process is warm."""
    client = Client(headers={"Authorization": f"Bearer {os.environ['CONDAHUB_ADMIN_TOKEN']}", "Host": "127.0.0.1"})
    assert client.get(path).status_code == 200, path
    with CaptureQueriesContext(connection) as caught:
        client.get(path)
    return len(caught)


def add_stack(channel: Channel) -> int:
    """Put layers of packages over four pythons into a channel, each needing a few of the layers below; the revision."""
    big_channel.insert_records(channel, "linux-64", _stack())
    return publish_dirty(channel.pk)


def _stack() -> Iterator[tuple[str, dict[str, Any]]]:
    chance = random.Random(11)
    for python in PYTHONS:
        yield _record("python", f"3.{python[1:]}.1", "h0_0", [])
    width = STACK_NAMES // LAYERS
    for number in range(STACK_NAMES):
        layer = number // width
        below = [chance.randrange((layer - 1) * width, layer * width) for _ in range(2)] if layer else []
        for version in range(RECORDS_A_NAME // len(PYTHONS)):
            for python in PYTHONS:
                depends = [f"stack-{one} >=1.{chance.randint(0, 2)},<2" for one in below]
                pin = f"python >=3.{python[1:]},<3.{int(python[1:]) + 1}.0a0"
                yield _record(f"stack-{number}", f"1.{version}", f"py{python}_0", [*depends, pin])


def _record(name: str, version: str, build: str, depends: list[str]) -> tuple[str, dict[str, Any]]:
    filename = f"{name}-{version}-{build}.conda"
    known: dict[str, Any] = {"name": name, "version": version, "build": build, "build_number": 0, "depends": depends, "subdir": "linux-64"}
    sha256, md5 = hashlib.sha256(filename.encode()).hexdigest(), hashlib.md5(filename.encode(), usedforsecurity=False).hexdigest()
    return filename, {**known, "sha256": sha256, "md5": md5, "size": 100_000, "license": "MIT", "timestamp": 1_600_000_000_000}
