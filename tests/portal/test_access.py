"""Who may do what, and who could on a day that is past: the audit trail and the grants tell the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import time_machine

from channels_app.readers import readers_of
from channels_app.services.channels import create_channel, update_channel
from condahub.accounts import access, services
from condahub.accounts.models import Grant, Organization, Team, User
from condahub.accounts.permissions import Permission
from condahub.accounts.policy import SYSTEM, Actor
from condahub.errors import Forbidden, Unprocessable
from tests.api.conftest import World
from tests.portal.conftest import Visitor

pytestmark = pytest.mark.django_db


def test_the_trail_tells_what_the_grants_tell(world: World) -> None:
    owner, acme = Actor.of(world.people["owner"]), world.acme
    ann, ben = (services.create_user(actor=SYSTEM, username=name) for name in ("ann", "ben"))
    core, old = (services.create_team(actor=owner, organization=acme, slug=slug) for slug in ("core", "old"))
    package = replace(world.inner.access_target, package_name="inside")

    def give(role: str, on: object = acme, user: User | None = None, team: Team | None = None) -> Grant:
        return services.grant(actor=owner, on=on, role=role, user=user, team=team)  # type: ignore[arg-type]

    def revoke(given: Grant) -> None:
        services.revoke_grant(actor=owner, grant=given)

    steps: list[Callable[[], object]] = [
        lambda: give("reader", user=ann),
        lambda: give("maintainer", user=ann),
        lambda: give("contributor", world.inner, team=core),
        lambda: services.add_member(actor=owner, team=core, user=ben),
        lambda: give("contributor", package, user=ben),
        lambda: give("reader", team=old),
        lambda: services.add_member(actor=owner, team=old, user=ann),
        lambda: services.delete_team(actor=owner, team=old),
        lambda: revoke(Grant.objects.get(user=ann)),
        lambda: services.remove_member(actor=owner, team=core, user=ben),
        lambda: services.drop_channel(actor=owner, channel_id=world.inner.pk),
    ]
    for step in steps:
        step()
        then, now = access.roles_of(owner, acme, datetime.now(UTC)), access.roles_of(owner, acme)
        assert then.roles == now.roles
        assert {team: people for team, people in then.teams.items() if people} == {
            team: people for team, people in now.teams.items() if people
        }


def test_who_could_read_a_channel_then(world: World) -> None:
    owner, ann = Actor.of(world.people["owner"]), services.create_user(actor=SYSTEM, username="ann")

    def on(day: int) -> datetime:
        return datetime(2040, 1, day, 12, tzinfo=UTC)

    with time_machine.travel(on(1), tick=False):
        shelf = create_channel(actor=owner, organization=world.acme, name="shelf", visibility="internal")
    with time_machine.travel(on(2), tick=False):
        update_channel(actor=owner, channel=shelf, changes={"visibility": "private"})
        given = services.grant(actor=owner, on=shelf, role="reader", user=ann)
    with time_machine.travel(on(3), tick=False):
        services.deactivate_user(actor=Actor.of(world.people["staff"]), user=world.people["reader"])
        services.revoke_grant(actor=owner, grant=given)
    first, second, third = (readers_of(owner, shelf, at=on(day)) for day in (1, 2, 3))
    assert [one.visibility for one in (first, second, third)] == ["internal", "private", "private"]
    assert ["ann" in one.people for one in (first, second, third)] == [False, True, False]
    assert second.people["ann"] == ["reader on this channel"]
    assert ["reader" in one.people for one in (first, second, third)] == [True, True, False]
    assert third.people == readers_of(owner, shelf).people
    with pytest.raises(Unprocessable, match="was made after that"):
        readers_of(owner, shelf, at=datetime(2039, 12, 31, tzinfo=UTC))
    with pytest.raises(Forbidden):
        readers_of(Actor.of(world.people["maintainer"]), shelf)


def test_the_pages_say_it_in_words(world: World, visit: type[Visitor]) -> None:
    owner = visit(world, "owner")
    assert 'person=maintainer">maintainer</a>' in owner.get("/ui/acme/access")
    told = owner.get("/ui/acme/access", person="maintainer")
    assert "Everything in this organization" in told and Permission.PACKAGE_YANK.value in told
    assert "Nothing by a role in this organization." in owner.get("/ui/acme/access", person="outsider")
    assert "Those below" in owner.get("/ui/channels/inner/readers").replace("Today those below", "Those below")
    assert "This is not a day." in owner.get("/ui/acme/access", 400, on="yesterday")
    assert "was made after that" in owner.get("/ui/channels/inner/readers", 422, on="2001-01-01")
    assert "Nobody." in owner.get("/ui/acme/access", on="2001-01-01")


def test_a_personal_organization_is_its_persons(world: World) -> None:
    home = Organization.objects.get(personal_of=world.people["reader"])
    own = create_channel(actor=Actor.of(world.people["reader"]), organization=home, name="own")
    assert readers_of(Actor.of(world.people["reader"]), own).people == {"reader": ["the person whose organization it is"]}
