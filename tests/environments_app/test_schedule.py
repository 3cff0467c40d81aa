"""Scheduled rebuilds: when they come, that they are rare, and that nothing is built where nothing is newer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from condahub.accounts.models import Grant
from condahub.accounts.policy import SYSTEM, Actor
from condahub.engine.lock import CondaRecord, HubLock, LockedChannel, PlatformLock, PypiRecord
from condahub.errors import Unprocessable
from condahub.events.models import Event
from condahub.jobs import clock, runner
from condahub.jobs.models import Job
from environments_app.building import folders, refreshing
from environments_app.building.outcome import keep_lock
from environments_app.models import Build, BuildPackage, Environment, EnvironmentSchedule, Outcome
from environments_app.pip import phase
from environments_app.services import environments, policies, schedules
from environments_app.services.builds import BUILD_KIND
from tests.api.conftest import World
from tests.environments_app.building import Submit, finish

pytestmark = pytest.mark.django_db
CRON = {"rebuild": "cron", "rebuild_cron": "0 3 * * *", "rebuild_time_zone": "Europe/Berlin"}


def lock_of(version: str) -> HubLock:
    record = CondaRecord(
        name="open", version=version, build="0", build_number=0, channel="outer", subdir="noarch", filename=f"open-{version}-0.conda",
        sha256=version.encode().hex().ljust(64, "0"),
    )  # fmt: skip
    return HubLock.of(channels=[LockedChannel("outer", 1)], platforms={"linux-64": PlatformLock(conda=(record,))})


def locked(build: Build, version: str = "1.0") -> Build:
    """As a build of open 1.0 is when it has ended."""
    Build.objects.filter(pk=build.pk).update(lock=keep_lock(lock_of(version)))
    BuildPackage.objects.filter(build=build, name="open").update(requested="open >=1", subdir="noarch", build_string="0")
    return build


def change(world: World, on: Any = None, **values: Any) -> None:
    policies.change_settings(actor=Actor.of(world.people["owner"]), on=on or world.acme, changes=values)


def schedule() -> EnvironmentSchedule:
    return EnvironmentSchedule.objects.get(environment__name="tools")


def solves_to(monkeypatch: pytest.MonkeyPatch, version: str | None) -> None:
    """The engine's answer, which real hubs are asked for in test_build_real."""
    monkeypatch.setattr(refreshing, "_solve", lambda *args: lock_of(version) if version else None)


def test_the_next_time_is_cron_in_the_time_zone_that_was_set(world: World, submit: Submit) -> None:
    finish(submit())
    change(world, **CRON)
    at = schedule().next_run_at
    assert at is not None and at.astimezone(clock.zone("Europe/Berlin")).hour == 3 and at > timezone.now()
    assert world.api("reader").get("organizations/acme/environments/tools/schedule")["mode"] == "cron"
    change(world, rebuild="never")
    assert schedule().next_run_at is None
    for wrong in ({"rebuild": "often"}, {"rebuild_cron": "every day"}, {"rebuild_cron": "0 0 31 2 *"}, {"rebuild_time_zone": "Mars/Base"}):
        with pytest.raises(Unprocessable):
            change(world, **wrong)


def test_a_new_environment_is_taken_in_and_looked_at_once_a_day_at_most(world: World, submit: Submit) -> None:
    change(world, rebuild="cron", rebuild_cron="*/5 * * * *")
    locked(finish(submit()))
    now = timezone.now()
    assert schedules.enqueue_due(now=now) == [] and schedule().next_run_at is not None
    assert len(schedules.enqueue_due(now=now + timedelta(minutes=6))) == 1
    assert schedules.enqueue_due(now=now + timedelta(minutes=12)) == [], "one that waits is enough"
    schedules.note(Environment.objects.get(), Outcome.NOTHING_NEWER, "")
    again = schedule().next_run_at
    assert again is not None and again >= timezone.now() + timedelta(hours=21), "every five minutes is once a day"


def test_a_few_at_once_of_an_organization(world: World, submit: Submit) -> None:
    change(world, rebuild="when_newer")
    for number in range(5):
        locked(finish(submit(name=f"tools-{number}")))
    world.push(world.outer, name="open", version="2.0")
    now = timezone.now()
    assert len(schedules.enqueue_due(now=now)) == schedules.REFRESHES_AT_ONCE
    assert schedules.enqueue_due(now=now + timedelta(seconds=1)) == []
    Job.objects.filter(kind=schedules.REFRESH_KIND).update(state="done")
    assert len(schedules.enqueue_due(now=now + timedelta(seconds=2))) == schedules.REFRESHES_AT_ONCE


def test_only_what_was_asked_for_and_is_newer_makes_it_look(world: World, submit: Submit) -> None:
    locked(finish(submit(text="name: tools\nchannels: [outer]\ndependencies:\n  - open >=1,<3\n")))
    BuildPackage.objects.update(requested="open >=1,<3")
    change(world, rebuild="when_newer")
    now = timezone.now()
    assert schedules.enqueue_due(now=now) == [] and schedule().outcome == Outcome.NOTHING_NEWER
    world.push(world.outer, name="else", version="9.0")
    world.push(world.outer, name="open", version="3.0")
    assert schedules.enqueue_due(now=now + timedelta(hours=1)) == [], "3.0 is not what it asks for"
    world.push(world.outer, name="open", version="2.5")
    assert len(schedules.enqueue_due(now=now + timedelta(hours=2))) == 1


def test_it_is_built_only_where_the_lock_would_change(world: World, submit: Submit, monkeypatch: pytest.MonkeyPatch) -> None:
    build = locked(finish(submit()))
    change(world, rebuild="when_newer")
    api, path = world.api("contributor"), "organizations/acme/environments/tools/schedule"
    for version, outcome, count in (("1.0", "nothing_newer", 1), (None, "conflict", 1), ("2.0", "built", 2)):
        solves_to(monkeypatch, version)
        Job.objects.filter(kind=BUILD_KIND).update(state="done")
        api.do("POST", path, status=202)
        runner.drain("heavy", 1)
        assert (api.get(path)["outcome"], Build.objects.count()) == (outcome, count), version
    newer = Build.objects.get(number=2)
    assert (newer.author, newer.specification_id) == (build.author, build.specification_id), "in the name of whoever asked for it"
    assert newer.state == "queued"


def test_newer_wheels_are_a_reason_too(
    world: World, submit: Submit, monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path
) -> None:
    settings.CONDAHUB_ENVIRONMENTS_DIR = tmp_path
    index = "https://wheels.example/simple"
    policies.change_settings(actor=Actor.of(world.people["staff"]), on=None, changes={"pip_index": index, "allowed_pip_indexes": [index]})
    build = finish(submit(text="name: tools\nchannels: [outer]\ndependencies: [open >=1, {pip: [wheely]}]\n"))

    def with_wheel(lock: HubLock, version: str) -> HubLock:
        wheel = PypiRecord(name="wheely", version=version, filename=f"wheely-{version}-py3-none-any.whl", sha256=version[0] * 64)
        platform = PlatformLock(conda=lock.platform("linux-64").conda, pypi=(wheel,))
        return HubLock.of(channels=lock.channels, platforms={"linux-64": platform})

    Build.objects.filter(pk=build.pk).update(lock=keep_lock(with_wheel(lock_of("1.0"), "1.0")), prefix=build.key)
    change(world, **CRON)
    solves_to(monkeypatch, "1.0")
    api, path = world.api("contributor"), "organizations/acme/environments/tools/schedule"
    for on_disk, version, outcome in ((False, "2.0", "nothing_newer"), (True, "1.0", "nothing_newer"), (True, "2.0", "built")):
        if on_disk:
            folders.prefix(build.key).mkdir(parents=True, exist_ok=True)
        Job.objects.filter(kind=BUILD_KIND).update(state="done")
        monkeypatch.setattr(phase, "would_be", lambda asking, lock, prefix, version=version: with_wheel(lock, version))
        api.do("POST", path, status=202)
        runner.drain("heavy", 1)
        assert api.get(path)["outcome"] == outcome, (on_disk, version)


def test_it_stops_when_a_channel_is_withdrawn_until_another_build_is_current(
    world: World, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    solves_to(monkeypatch, "2.0")
    environment = locked(finish(submit(text="name: tools\nchannels: [inner]\ndependencies: [inside]\n"))).environment
    change(world, **CRON)
    Grant.objects.filter(user=world.people["contributor"]).delete()
    schedules._enqueue(environment, "test")
    schedules._enqueue(environment, "test")
    runner.drain("heavy")
    stopped = schedule()
    assert (stopped.outcome, stopped.next_run_at) == (Outcome.WITHDRAWN, None) and "inner" not in stopped.said
    assert Build.objects.count() == 1
    told = Event.objects.get(type="environment.channel_withdrawn")
    assert "inner" not in told.sentence and told.environment_id == environment.pk
    finish(submit("owner"))
    schedules.enqueue_due()
    assert schedule().stopped_at_build is None and schedule().next_run_at is not None


def test_a_build_that_was_chosen_by_hand_is_not_replaced(world: World, submit: Submit, monkeypatch: pytest.MonkeyPatch) -> None:
    solves_to(monkeypatch, "2.0")
    first, _ = locked(finish(submit())), locked(finish(submit()))
    environments.activate_build(actor=SYSTEM, environment=first.environment, build=first)
    change(world, rebuild="when_newer")
    assert schedules.enqueue_due(now=datetime.now(UTC) + timedelta(days=2)) == []
    assert schedule().outcome == Outcome.CHOSEN and Build.objects.count() == 2
