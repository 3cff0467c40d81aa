"""Retention: what settings do not keep goes, the current and pinned builds never, and what kept locks name is still to be had."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from channels_app.models import PackageFile
from channels_app.services import states
from condahub.accounts import quota
from condahub.accounts.policy import SYSTEM, Actor
from condahub.engine.lock import CondaRecord, HubLock, LockedChannel, PlatformLock
from condahub.errors import Forbidden
from condahub.ops import gc
from environments_app.building.outcome import keep_lock
from environments_app.models import Build, BuildChannel, BuildState, Environment
from environments_app.services import builds, policies, retention
from tests.api.conftest import World
from tests.environments_app.building import Submit, finish

pytestmark = pytest.mark.django_db
FAR = timedelta(days=900)


def keep(world: World, **values: object) -> None:
    changes = {f"retention_{name}": value for name, value in values.items()}
    policies.change_settings(actor=Actor.of(world.people["owner"]), on=world.acme, changes=changes)


def state_of(world: World) -> dict[int, str]:
    rows = Build.objects.filter(environment__organization=world.acme).order_by("number")
    return {row.number: "archived" if row.archived_at else row.state for row in rows}


def test_the_last_n_the_pinned_and_the_current_build_stay(world: World, submit: Submit) -> None:
    made = [finish(submit()) for _ in range(6)]
    builds.pin_build(actor=SYSTEM, build=made[0], pinned=True)
    environment = Environment.objects.select_related("organization").get()
    environment.current_build = made[1]
    environment.save()
    assert retention.plan(actor=SYSTEM) == [], "nothing goes by itself unless a setting says so"
    keep(world, keep_last=2)
    used = quota.usage_by_kind(world.acme)["environments"]
    planned = retention.plan(actor=SYSTEM)
    assert [(going.build.number, going.action) for going in planned] == [(3, "archive"), (4, "archive")]
    assert "archived" not in state_of(world).values(), "a plan changes nothing"
    assert len(retention.apply(actor=SYSTEM)) == 2 and retention.apply(actor=SYSTEM) == []
    assert [number for number, state in state_of(world).items() if state == "archived"] == [3, 4]
    assert quota.usage_by_kind(world.acme)["environments"] < used
    keep(world, then="delete")
    assert [going.action for going in retention.apply(actor=SYSTEM)] == ["delete", "delete"]
    assert sorted(state_of(world)) == [1, 2, 5, 6]


def test_what_is_older_than_the_age_goes_and_the_nearest_setting_counts(world: World, submit: Submit) -> None:
    old, other = finish(submit()), finish(submit(name="other"))
    failed = submit()
    builds.move(failed, BuildState.FAILED)
    for build in (finish(submit()), finish(submit(name="other"))):
        assert build.number > 1
    Build.objects.filter(pk__in=[old.pk, other.pk, failed.pk]).update(ended_at=timezone.now() - timedelta(days=40))
    keep(world, days=30)
    policies.change_settings(actor=Actor.of(world.people["owner"]), on=other.environment, changes={"retention_days": 60})
    assert [str(going.build) for going in retention.plan(actor=SYSTEM)] == ["acme/tools@1"], "a failed build has nothing to archive"
    keep(world, then="delete")
    assert [str(going.build) for going in retention.plan(actor=SYSTEM)] == ["acme/tools@1", "acme/tools@2"]


def test_a_person_lets_go_only_of_what_he_may_see_and_delete(world: World, submit: Submit) -> None:
    closed = "name: tools\nchannels: [inner]\ndependencies: [inside]\n"
    for _ in range(3):
        finish(submit("owner", text=closed))
    keep(world, keep_last=1, then="delete")
    api = world.api("maintainer")
    path = "organizations/acme/environment-retention"
    assert [row["number"] for row in api.do("POST", path, {})["builds"]] == [1, 2]
    assert Build.objects.count() == 3, "dry_run unless it is said"
    type(world.inner).objects.filter(pk=world.inner.pk).update(organization=world.people["outsider"].personal_organization)
    assert api.do("POST", path, {"dry_run": False})["builds"] == [], "builds of a channel that may not be read are not told of"
    with pytest.raises(Forbidden):
        retention.plan(actor=Actor.of(world.people["contributor"]), on=world.acme)
    assert Build.objects.count() == 3


def test_what_an_archived_build_is_made_of_outlives_its_channel_s_delete_and_collection(world: World, submit: Submit) -> None:
    published = world.push(world.inner, name="inside", version="3.0")
    file = published.file
    world.inner.refresh_from_db()
    at = world.inner.head
    build = finish(submit("owner", text="name: tools\nchannels: [inner]\ndependencies: [inside]\n"))
    record = CondaRecord(
        name="inside",
        version="3.0",
        build="0",
        build_number=0,
        channel="inner",
        subdir="noarch",
        filename=file.filename,
        sha256=file.sha256,
    )
    lock = HubLock.of(channels=[LockedChannel("inner", at)], platforms={"linux-64": PlatformLock(conda=(record,))})
    Build.objects.filter(pk=build.pk).update(lock=keep_lock(lock))
    BuildChannel.objects.filter(build=build).update(revision=at)
    finish(submit("owner", text="name: tools\nchannels: [inner]\ndependencies: [inside]\n"))
    keep(world, keep_last=1)
    assert len(retention.apply(actor=SYSTEM)) == 1
    owner = Actor.of(world.people["owner"])
    world.push(world.inner, name="inside", version="4.0")
    for version in ("3.0", "4.0"):
        states.change_state(
            actor=owner, channel=world.inner, verb=states.DELETE, files=[("noarch", f"inside-{version}-0.conda")], reason="Old."
        )
    # The lock's revision is not the last of its day, which would stay anyway.
    sweep = gc.Sweep(now=timezone.now() + FAR, grace=timedelta(days=7), dry_run=False, check=lambda: None)
    for collect in list(gc._collectors.values()):
        list(collect(sweep))
    client = world.api("owner").client
    found = client.get(f"/channels/inner@{at}/noarch/inside-3.0-0.conda")
    assert found.status_code == 200, "what the lock names is had at its revision"
    assert client.get("/channels/inner/noarch/inside-3.0-0.conda").status_code == 404
    left = PackageFile.objects.filter(channel=world.inner).values_list("version", flat=True)
    assert sorted(left) == ["1.0", "2.0", "3.0"], "and what no lock names is gone"
