"""Rolling back: the channel shows what a kept revision showed, byte for byte in its shards, and nothing of the present is lost."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from channels_app import history
from channels_app.index import maps
from channels_app.models import Channel, FileState, PackageFile, Revision
from channels_app.services import hotfix, states, thinning
from channels_app.services.keeping import keep_revision
from channels_app.services.rollback import roll_back
from condahub.accounts.policy import Actor
from condahub.errors import Conflict, NotAuthenticated, NotFound, Unprocessable
from condahub.ops.gc import Sweep
from tests.channels_app.conftest import Publisher

pytestmark = pytest.mark.django_db(transaction=True)

Shown = dict[tuple[str, str], dict[str, Any]]


def head(channel: Channel) -> int:
    return int(Channel.objects.values_list("head", flat=True).get(pk=channel.pk))


def shown(channel: Channel, number: int) -> Shown:
    """Every record of a revision."""
    maps.forget_all()
    found: Shown = {}
    for subdir, names in maps.load(channel.pk, number).items():
        found |= {(one.subdir, one.filename): one.fields for one in history.records(channel.pk, subdir, list(names.values())).values()}
    return found


def test_it_shows_again_what_it_showed(channel: Channel, staff: Actor, push: Publisher) -> None:
    channel.allow_overwrite = True
    channel.save()
    push(channel, name="kept", version="1.0")
    push(channel, name="demo", version="1.0", depends=["old"])
    push(channel, name="gone", version="1.0")
    hotfix.apply(
        actor=staff, channel=channel, subdir="noarch", instructions={"packages.conda": {"demo-1.0-0.conda": {"depends": ["a"], "x": 1}}}
    )
    wanted = head(channel)
    then = shown(channel, wanted)
    push(channel, name="demo", version="1.0", depends=["new"], force=True)
    push(channel, name="later", version="1.0")
    states.change_state(actor=staff, channel=channel, verb=states.DELETE, files=[("noarch", "gone-1.0-0.conda")])
    hotfix.apply(actor=staff, channel=channel, subdir="noarch", instructions={"packages.conda": {"kept-1.0-0.conda": {"depends": ["b"]}}})
    before = shown(channel, head(channel))

    planned = roll_back(actor=staff, channel=channel, to=wanted, dry_run=True)
    assert shown(channel, head(channel)) == before
    done = roll_back(actor=staff, channel=channel, to=wanted)
    assert (planned.shown, planned.hidden, planned.changed) == (done.shown, done.hidden, done.changed)
    assert done.hidden == ["noarch/later-1.0-0.conda"]
    assert done.kept == []
    assert done.revision == head(channel) > wanted
    assert shown(channel, head(channel)) == then
    assert roll_back(actor=staff, channel=channel, to=wanted).is_empty

    back = roll_back(actor=staff, channel=channel, to=done.revision - 1)
    assert back.kept == []
    assert shown(channel, head(channel)) == before


def test_a_revoked_package_is_good_again(channel: Channel, staff: Actor, push: Publisher) -> None:
    push(channel, name="demo", version="1.0")
    good = head(channel)
    hotfix.apply(actor=staff, channel=channel, subdir="noarch", instructions={"revoke": ["demo-1.0-0.conda"]})
    bad = head(channel)
    for number in (good, bad, good):
        roll_back(actor=staff, channel=channel, to=number)
        assert shown(channel, head(channel)) == shown(channel, number)


def test_what_was_purged_or_quarantined_stays_so_and_is_named(channel: Channel, staff: Actor, push: Publisher) -> None:
    for name in ("secret", "odd", "fine"):
        push(channel, name=name, version="1.0")
    wanted = head(channel)
    for verb, name in ((states.PURGE, "secret"), (states.QUARANTINE, "odd"), (states.DELETE, "fine")):
        states.change_state(actor=staff, channel=channel, verb=verb, files=[("noarch", f"{name}-1.0-0.conda")], reason="a reason")
    done = roll_back(actor=staff, channel=channel, to=wanted)
    assert {one.filename: one.why for one in done.kept} == {"secret-1.0-0.conda": "it was purged", "odd-1.0-0.conda": "it is quarantined"}
    assert done.shown == ["noarch/fine-1.0-0.conda"]
    states_now = dict(PackageFile.objects.values_list("name", "state"))
    assert states_now == {"secret": FileState.PURGED, "odd": FileState.HELD, "fine": FileState.LIVE}


def test_who_may_not_and_what_is_not_kept(channel: Channel, staff: Actor, push: Publisher) -> None:
    push(channel, name="demo", version="1.0")
    with pytest.raises(NotAuthenticated):
        roll_back(actor=Actor.anonymous(), channel=channel, to=1)
    with pytest.raises(NotFound):
        roll_back(actor=staff, channel=channel, to=99)
    Channel.objects.filter(pk=channel.pk).update(kind="mirror")
    channel.refresh_from_db()
    with pytest.raises(Conflict):
        roll_back(actor=staff, channel=channel, to=1)


def test_pinned_and_tagged_revisions_and_all_of_some_channels_outlive_the_rules(channel: Channel, staff: Actor, push: Publisher) -> None:
    for version in ("1.0", "2.0", "3.0", "4.0", "5.0"):
        push(channel, name="demo", version=version)
    numbers = list(Revision.objects.order_by("number").values_list("number", flat=True))
    Revision.objects.update(created_at=timezone.now() - timedelta(days=90))
    keep_revision(actor=staff, channel=channel, number=numbers[0], pinned=True)
    keep_revision(actor=staff, channel=channel, number=numbers[1], pinned=False, tag="release-2")
    with pytest.raises(Unprocessable):
        keep_revision(actor=staff, channel=channel, number=numbers[1], pinned=False, tag="../x")
    sweep = Sweep(now=timezone.now(), grace=timedelta(days=7), dry_run=True, check=lambda: None)
    assert [step.kept for step in thinning.plan(channel.pk, sweep)] == [numbers[0], numbers[1], numbers[-1]]
    assert [step.kept for step in thinning.plan(channel.pk, sweep, keep_all=True)] == numbers
