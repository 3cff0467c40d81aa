"""An environment is carried with its lock and packages, and stands there on the packages that came with it."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from channels_app.models import Channel, PackageFile
from condahub.accounts.models import Grant, User
from condahub.accounts.policy import Actor
from condahub.engine.lock import HubLock, LockedChannel, PlatformLock
from condahub.engine.records import record_of
from condahub.errors import Conflict, Forbidden
from environments_app.building.outcome import keep_lock, package_rows
from environments_app.models import Build, BuildChannel, BuildPackage, BuildState, Environment, Specification
from mirrors_app.bundles import exporting
from mirrors_app.bundles.core.manifest import read_manifest
from mirrors_app.models import ImportState
from tests.mirrors_app.bundles.conftest import Exporter, Importer
from tests.mirrors_app.bundles.test_channels import Push, shown

pytestmark = pytest.mark.django_db
TEXT = "name: analysis\nchannels: [tools]\ndependencies: [one]\n"


@pytest.fixture
def environment(push: Push, outside: Channel) -> Environment:
    """analysis, whose build 1 is made of `one`; `other` is in the channel too."""
    push(name="one", version="1.0")
    push(name="other", version="1.0")
    made = Environment.objects.create(organization=outside.organization, name="analysis", last_number=1)
    text = Specification.objects.create(organization=outside.organization, sha256="e" * 64, kind="yaml", text=TEXT, author="it")
    file = PackageFile.objects.get(channel=outside, name="one")
    facts: dict[str, Any] = {"name": "one", "version": "1.0", "build": "0", "sha256": file.sha256, "size": file.size}
    record = record_of(facts, channel="tools", subdir="noarch", filename=file.filename)
    lock = HubLock.of(channels=[LockedChannel("tools", 2)], platforms={"linux-64": PlatformLock(conda=(record,))})
    build = Build.objects.create(
        environment=made,
        number=1,
        key="abcdef",
        specification=text,
        request={"platforms": ["linux-64"], "dependencies": ["one"]},
        state=BuildState.COMPLETED,
        lock=keep_lock(lock),
        author="it",
        ended_at=timezone.now(),
    )
    BuildChannel.objects.create(build=build, channel=outside, name="tools", organization=outside.organization, position=0)
    BuildPackage.objects.bulk_create(package_rows(build, lock))
    made.current_build = build
    made.save()
    return made


def test_an_environment_is_carried_with_just_its_packages(
    environment: Environment, carry_out: Exporter, carry_in: Importer, inside: Channel
) -> None:
    folder = carry_out(environment="outside/analysis")
    manifest = read_manifest((folder / "manifest.json").read_bytes())
    assert (manifest.subject.kind, manifest.counts.packages) == ("environment", 1)
    done = carry_in(folder)
    assert done.result["environment"] == {"name": "inside/analysis", "build": 1, "packages": 1}
    assert set(shown(inside)) == {"noarch/one-1.0-0.conda"}
    made = Environment.objects.get(organization=inside.organization, name="analysis")
    build = made.current_build
    assert build is not None and build.lock is not None and build.specification.text == TEXT
    lock = HubLock.from_bytes(bytes(build.lock.content))
    [record] = lock.platform("linux-64").conda
    assert (record.channel, record.sha256) == ("inner", PackageFile.objects.get(channel=inside).sha256)
    assert lock.channels == (LockedChannel("inner", Channel.objects.get(pk=inside.pk).head),)
    assert [one.channel for one in build.made_of.all()] == [inside]
    assert build.archived_at is not None and build.state == BuildState.COMPLETED and build.packages.count() == 1
    assert carry_in(folder).state == ImportState.UNCHANGED
    assert Build.objects.filter(environment=made).count() == 1


def test_who_may_not_carry_its_channels_may_not_carry_it(environment: Environment, outside: Channel, staff: Actor, key: str) -> None:
    user = User.objects.create(username="elsewhere")
    Channel.objects.filter(pk=outside.pk).update(visibility="private")
    from channels_app.services.channels import create_channel

    own = create_channel(actor=staff, organization=outside.organization, name="own", visibility="public")
    Grant.objects.create(organization=outside.organization, user=user, role="maintainer")
    with pytest.raises(Forbidden):
        exporting.order_export(actor=Actor.of(user), channel=own, environment="outside/analysis")
    with pytest.raises(Forbidden):
        exporting.order_export(actor=Actor.of(User.objects.create(username="x")), channel=own, environment="outside/nothing")


def test_an_environment_without_a_build_is_not_carried(environment: Environment, outside: Channel, staff: Actor, key: str) -> None:
    Environment.objects.create(organization=outside.organization, name="empty")
    with pytest.raises(Conflict) as caught:
        exporting.order_export(actor=staff, channel=outside, environment="outside/empty")
    assert caught.value.code == "no_build"
