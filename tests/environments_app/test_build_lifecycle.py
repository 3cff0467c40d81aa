"""What becomes of builds whose worker, channel, author or folder is gone, and of those that have to wait."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from channels_app.models import Channel, ChannelKind
from channels_app.services import policies, requests
from channels_app.services.scopes import Scope
from condahub.accounts.actors import Limit
from condahub.accounts.models import ApiToken, Grant, TokenKind
from condahub.accounts.policy import SYSTEM, Actor, Permission, can
from condahub.accounts.services import create_organization
from condahub.engine.lock import HubLock, PlatformLock
from condahub.errors import HubError
from condahub.events.models import InboxItem
from condahub.events.services import spreading
from condahub.jobs import runner
from condahub.jobs import services as jobs
from condahub.jobs.context import JobContext
from condahub.jobs.models import Job
from condahub.jobs.registry import kind_named
from condahub.jobs.states import JobState
from condahub.ops.gc import Sweep
from environments_app import checkups, selectors
from environments_app.building import access, folders, garbage, links, outcome, resuming, settling
from environments_app.models import Build, BuildState, Environment
from environments_app.services.builds import BUILD_KIND, delete_build, move
from environments_app.services.environments import activate_build, roll_back
from tests.api.conftest import World
from tests.channels_app.conftest import push_file
from tests.environments_app.building import Submit, finish
from tests.makers import make_package

pytestmark = pytest.mark.django_db
INNER = "name: tools\nchannels: [inner]\ndependencies: [inside]\n"


@pytest.fixture(autouse=True)
def root(settings: Settings, tmp_path: Path) -> Path:
    settings.CONDAHUB_ENVIRONMENTS_DIR = tmp_path / "e"
    return tmp_path / "e"


def on_disk(build: Build, key: str = "") -> Path:
    """The build with a folder."""
    key = key or build.key
    folder = folders.prefix(key)
    folder.mkdir(parents=True, exist_ok=True)
    Build.objects.filter(pk=build.pk).update(prefix=key)
    build.prefix = key
    return folder


def fresh(build: Build) -> Build:
    return Build.objects.select_related("environment__organization", "job").get(pk=build.pk)


def test_a_build_ends_when_its_author_may_not_read_a_channel_any_more(world: World, submit: Submit) -> None:
    build = submit("contributor", text=INNER)
    Grant.objects.filter(user=world.people["contributor"]).delete()
    runner.drain("heavy")
    ended = fresh(build)
    assert (ended.state, ended.error_code) == (BuildState.FAILED, "channel_withdrawn") and "inner" in ended.error_sentence
    assert ended.job is not None and "inner" not in ended.job.error_sentence, "readers of the job may not read the channel"
    assert not ApiToken.objects.filter(kind=TokenKind.JOB).exists()


def test_who_asked_for_a_build_is_told_how_it_ended(world: World, submit: Submit) -> None:
    good, bad = submit(name="good"), submit(name="bad")
    job = jobs.claim("heavy", "worker")
    assert job is not None and job.pk == good.job_id and move(good, BuildState.RUNNING) and move(bad, BuildState.RUNNING)
    lock = HubLock.of(channels=[], platforms={"linux-64": PlatformLock()})
    outcome.complete(good, JobContext(job, kind_named(BUILD_KIND)), outcome.Made(lock, "", 1), {})
    assert outcome.fail(bad, error=HubError("The channel inner is not there.", code="unsolvable"), timings={})
    assert sum(spreading.spread()) >= 2
    told = {
        name: InboxItem.objects.filter(user=world.people[name], event__type__startswith="build.") for name in ("contributor", "outsider")
    }
    sentences = sorted(told["contributor"].values_list("event__sentence", flat=True))
    assert len(sentences) == 2 and sentences[0].startswith("acme/bad@1") and sentences[1] == "acme/good@1 was built."
    assert "inner" not in sentences[0], "what a build says is for those who may read its channels"
    assert not told["outsider"].exists()


def test_the_log_of_a_build_is_read_by_those_who_may_read_its_channels(world: World, submit: Submit) -> None:
    open_build, closed = submit(name="open"), submit("owner", text=INNER)
    grant = {"user": "outsider", "role": "reader", "channel": "outer"}
    world.api("owner").do("POST", "organizations/acme/grants", grant, 201)
    Grant.objects.filter(user=world.people["outsider"]).update(channel_id=None)
    Channel.objects.filter(pk=world.inner.pk).update(
        organization=create_organization(actor=Actor.of(world.people["staff"]), name="elsewhere")
    )
    api = world.api("outsider")
    assert api("GET", f"jobs/{open_build.job_id}").status_code == 200
    assert api("GET", f"jobs/{closed.job_id}").status_code == api("GET", "jobs/999999").status_code
    assert {row["id"] for row in api.get("jobs", kind="environments.build")["results"]} == {open_build.job_id}


def test_a_build_ends_when_its_author_is_gone(world: World, submit: Submit) -> None:
    build = submit()
    world.people["contributor"].is_active = False
    world.people["contributor"].save()
    runner.drain("heavy")
    assert (fresh(build).state, fresh(build).error_code) == (BuildState.FAILED, "author_gone")


def test_the_token_of_a_build_reads_its_channels_and_nothing_else(world: World) -> None:
    token, _ = access.reading_token(owner=Actor.of(world.people["owner"]), channels=[world.inner], name="test", seconds=30)
    actor = Actor(user=token.owner, token=token)
    assert actor.limits() == (Limit(world.acme.pk, world.inner.pk, "", "reader"),)
    assert can(actor, Permission.CHANNEL_READ, world.inner)
    for permission in (Permission.PACKAGE_UPLOAD, Permission.ENVIRONMENT_READ, Permission.TOKEN_CREATE):
        assert not can(actor, permission, world.inner) and not can(actor, permission, world.acme)
    assert token.expires_at is not None and token.expires_at < timezone.now() + timedelta(seconds=31)


def test_more_builds_than_an_organization_may_run_wait_and_are_looked_at_when_one_ends(
    world: World, submit: Submit, settings: Settings
) -> None:
    settings.CONDAHUB_CONCURRENT_BUILDS = 1
    first, second = submit(name="one"), submit(name="two")
    move(first, BuildState.RUNNING)
    Job.objects.filter(pk=first.job_id).update(state=JobState.RUNNING, lease_until=timezone.now() + timedelta(hours=1))
    assert runner.drain("heavy", 1) == 1
    waiting = Job.objects.get(pk=second.job_id)
    assert (fresh(second).state, waiting.state, waiting.attempts) == (BuildState.QUEUED, JobState.WAITING, 0)
    assert waiting.run_after > timezone.now()
    Job.objects.filter(pk=first.job_id).update(state=JobState.FAILED, lease_until=None)
    assert settling.settle() == [first.pk]
    assert Job.objects.get(pk=second.job_id).run_after <= timezone.now()


@pytest.mark.parametrize(("job_state", "ends"), [(JobState.FAILED, BuildState.FAILED), (JobState.CANCELLED, BuildState.CANCELLED)])
def test_a_build_whose_job_ended_without_it_ends_too_and_leaves_nothing(submit: Submit, job_state: JobState, ends: BuildState) -> None:
    build = submit()
    move(build, BuildState.RUNNING, phase="link")
    left = folders.staging(build.key, 1)
    (left / "bin").mkdir(parents=True)
    Job.objects.filter(pk=build.job_id).update(state=job_state)
    assert settling.settle() == [build.pk] and settling.settle() == []
    assert fresh(build).state == ends and fresh(build).phase == ""
    assert settling.drop_prefix(build.key) and not left.exists()


def test_the_folders_follow_the_current_build_in_one_step(world: World, submit: Submit, root: Path) -> None:
    one, two = finish(submit()), finish(submit())
    for build in (one, two):
        on_disk(build)
    links.refresh(one.environment_id)
    folder = root / "acme"
    assert sorted(os.listdir(folder)) == ["tools", "tools-1", "tools-2"]
    assert os.readlink(folder / "tools") == f"../.b/{two.key}" and (folder / "tools").is_dir()
    environment = Environment.objects.select_related("organization", "current_build").get(pk=one.environment_id)
    roll_back(actor=Actor.of(world.people["contributor"]), environment=environment)
    runner.drain("quick")
    assert os.readlink(folder / "tools") == f"../.b/{one.key}"
    activate_build(actor=SYSTEM, environment=environment, build=two)
    delete_build(actor=Actor.of(world.people["owner"]), build=fresh(one))
    runner.drain("quick")
    assert sorted(os.listdir(folder)) == ["tools", "tools-2"] and not folders.prefix(one.key).exists()
    two_in_other = finish(submit(name="tools-2"))
    on_disk(two_in_other)
    links.refresh(two_in_other.environment_id)
    links.refresh(two.environment_id)
    assert os.readlink(folder / "tools-2") == f"../.b/{two_in_other.key}", "a name is its environment's first"


def test_a_folder_stays_as_long_as_a_build_is_in_it(world: World, submit: Submit) -> None:
    one, two = finish(submit()), finish(submit())
    folder = on_disk(one)
    on_disk(two, one.key)
    delete_build(actor=Actor.of(world.people["owner"]), build=fresh(one))
    runner.drain("quick")
    assert folder.is_dir()


def test_what_nothing_is_in_is_collected_after_the_grace_period(world: World, submit: Submit) -> None:
    kept, lost = finish(submit()), folders.prefix("0" * 12)
    on_disk(kept)
    lost.mkdir()
    leftover = folders.stagings() / "ffffffffffff-1"
    leftover.mkdir(parents=True)

    def sweep(after: timedelta, *, dry_run: bool = False) -> list[Any]:
        return list(garbage.collect_folders(Sweep(timezone.now() + after, timedelta(days=7), dry_run, lambda: None)))

    sweep(timedelta(days=6))
    assert lost.is_dir() and leftover.is_dir()
    assert sweep(timedelta(days=8), dry_run=True)[0].count == 2 and lost.is_dir()
    sweep(timedelta(days=8))
    assert not lost.exists() and not leftover.exists() and folders.prefix(kept.key).is_dir()


def test_what_indexes_said_is_forgotten_when_nobody_asked_again(settings: Settings) -> None:
    now = timezone.now()
    long_ago = (now - timedelta(days=settings.CONDAHUB_PACKAGE_CACHE_DAYS, hours=1)).timestamp()
    kept, gone, lock = (folders.caches() / name for name in ("i7/new.json", "p7/simple-v1/old.rkyv", "i7/old.lock"))
    for path in (kept, gone, lock):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"what it said")
    for path in (gone, lock):
        os.utime(path, (long_ago, long_ago))
    assert list(garbage.collect_folders(Sweep(now, timedelta(days=7), True, lambda: None)))[-1].size == 0 and gone.exists()
    assert list(garbage.collect_folders(Sweep(now, timedelta(days=7), False, lambda: None)))[-1].size == 12
    assert kept.exists() and lock.exists() and not gone.parent.exists() and gone.parent.parent.is_dir()


def test_a_build_that_failed_for_a_held_package_is_built_again_when_its_request_is_approved(world: World, submit: Submit) -> None:
    build = submit("contributor", text=INNER)
    move(build, BuildState.FAILED, error_code="unsolvable")
    owner, asker = Actor.of(world.people["owner"]), Actor.of(world.people["contributor"])
    policies.set_policy(actor=owner, scope=Scope.of_channel(world.inner), rules={"names": {"denied": ["inside"]}})
    runner.drain("quick")
    expires_at = timezone.now() + timedelta(days=1)
    waiting = (("build:acme/tools@9", 1), (f"build:{build.pk + 1000}", 1), ("build:acme/tools@1", 2), (f"build:{build.pk}", 2))
    asked = [
        (requests.ask(actor=asker, channel=world.inner, spec=f"inside >=1,!=9.{len(one)}", reason="Needed.", resume=one)[0], one, builds)
        for one, builds in waiting
    ]
    for request, resume, builds in asked:
        requests.approve(actor=owner, request=request, expires_at=expires_at)
        runner.drain("quick")
        assert Build.objects.count() == builds, resume
    again = Build.objects.get(number=2)
    assert (again.author, again.state, again.specification_id) == ("contributor", BuildState.QUEUED, build.specification_id)


def test_a_build_waits_until_what_was_approved_is_there(world: World, submit: Submit, tmp_path: Path) -> None:
    build = submit("contributor", text=INNER)
    move(build, BuildState.FAILED, error_code="unsolvable")
    owner, asker = Actor.of(world.people["owner"]), Actor.of(world.people["contributor"])
    request, _ = requests.ask(actor=asker, channel=world.inner, spec="absent >=1", reason="Needed.", resume=f"build:{build.pk}")
    requests.approve(actor=owner, request=request, expires_at=timezone.now() + timedelta(days=1))
    runner.drain("quick")
    assert Build.objects.count() == 1
    push_file(owner, world.inner, make_package(tmp_path, "absent", "1.0"))
    assert Job.objects.filter(kind=resuming.RESUME_KIND, state=JobState.WAITING).update(run_after=timezone.now()) == 1
    runner.drain("quick")
    assert Build.objects.get(number=2).state == BuildState.QUEUED


def test_what_no_channel_has_may_be_asked_for_where_a_mirror_could_bring_it(world: World, submit: Submit) -> None:
    build = submit("contributor", text=INNER)
    move(build, BuildState.FAILED, error_code="unsolvable", error_detail={"missing": ["absent >=1"]})
    told = {name: selectors.told_of_failure(Actor.of(world.people[name]), build).get("asks") for name in ("contributor", "outsider")}
    assert told == {"contributor": None, "outsider": None}
    Channel.objects.filter(pk=world.inner.pk).update(kind=ChannelKind.MIRROR)
    told = {name: selectors.told_of_failure(Actor.of(world.people[name]), build).get("asks") for name in told}
    assert told == {"contributor": [{"channel": world.inner.name, "spec": "absent >=1"}], "outsider": None}


def test_the_doctor_looks_at_the_folder(root: Path) -> None:
    assert checkups.check_folders().level in ("ok", "warning")
    for folder in (folders.stagings(), folders.caches()):
        folder.rmdir()
    root.rmdir()
    root.write_text("a file")
    assert checkups.check_folders().level == "error"
