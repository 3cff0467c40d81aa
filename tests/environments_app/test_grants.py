"""Roles on one environment: people, teams, and teams of other organizations, who get no channel with it that is not theirs."""

from __future__ import annotations

import pytest
from django.test import Client

from channels_app.models import VirtualMember
from channels_app.services.virtual import create_virtual
from condahub.accounts import services
from condahub.accounts.models import Organization
from condahub.accounts.policy import SYSTEM, Actor
from environments_app.models import Build, BuildMember
from environments_app.services import environments
from tests.api.conftest import World
from tests.environments_app.building import Submit, finish

pytestmark = pytest.mark.django_db
PRIVATE = "name: tools\nchannels: [inner]\ndependencies: [inside]\n"
PATH = "organizations/acme/environments/tools/grants"
TEAM = {"role": "reader", "team": "lab", "organization": "beta"}


@pytest.fixture
def beta(world: World) -> Organization:
    """An organization of the outsider's, whose team `lab` the outsider is in; acme's owner has a role in it."""
    outsider = world.people["outsider"]
    made = services.create_organization(actor=SYSTEM, name="beta", owner=outsider)
    team = services.create_team(actor=Actor.of(outsider), organization=made, slug="lab")
    services.add_member(actor=Actor.of(outsider), team=team, user=outsider)
    services.grant(actor=Actor.of(outsider), on=made, role="reader", user=world.people["owner"])
    return made


def seen(world: World, who: str) -> list[int]:
    return sorted(Build.objects.visible_to(Actor.of(world.people[who])).values_list("number", flat=True))


def test_a_role_on_an_environment_is_given_listed_and_taken_away(world: World, submit: Submit) -> None:
    finish(submit())
    owner = world.api("owner")
    given = owner.do("POST", PATH, {"user": "outsider", "role": "contributor"}, 201)
    assert [(row["user"], row["role"]) for row in owner.get(PATH)["results"]] == [("outsider", "contributor")]
    assert seen(world, "outsider") == [1]
    spec = {"specification": "channels: [outer]\ndependencies: [open]\n"}
    world.api("outsider").do("POST", "organizations/acme/environments/tools/builds", spec, 201)
    world.api("outsider").do("POST", "organizations/acme/environments/other/builds", spec, 403)
    assert world.api("maintainer")("POST", PATH, {"user": "outsider", "role": "owner"}).status_code == 403
    world.session("outsider").do("DELETE", f"{PATH}/{given['id']}", status=204)
    assert seen(world, "outsider") == []
    assert owner("DELETE", f"{PATH}/{given['id']}").status_code == 404


def test_another_organization_s_team_sees_what_is_made_of_channels_that_it_may_read(
    world: World, submit: Submit, beta: Organization
) -> None:
    finish(submit())
    assert seen(world, "outsider") == []
    row = world.api("owner").do("POST", PATH, TEAM, 201)
    assert (row["team"], row["organization"]) == ("lab", "beta")
    assert seen(world, "outsider") == [1]
    found = world.api("outsider").get("environments")["results"]
    assert [one["name"] for one in found] == ["tools"]
    assert world.api("outsider")("GET", "channels/inner").status_code == 403
    assert "outsider" not in str(world.api("owner").get("organizations/acme/members")["results"]), "who is in it, beta tells"


def test_a_private_channel_goes_with_it_only_by_its_owner_s_word(world: World, submit: Submit, beta: Organization) -> None:
    finish(submit("maintainer", text=PRIVATE))
    keeper = services.create_user(actor=SYSTEM, username="keeper")
    environment = Build.objects.get().environment
    for on, role in ((environment, "owner"), (beta, "reader"), (world.inner, "reader")):
        services.grant(actor=SYSTEM, on=on, role=role, user=keeper)
    world.people["keeper"] = keeper
    refused = world.api("keeper").do("POST", PATH, TEAM, 403)
    assert refused["code"] == "channel_not_shareable" and "'inner'" in refused["detail"]
    assert seen(world, "outsider") == []
    world.api("owner").do("POST", PATH, TEAM, 201)
    assert seen(world, "outsider") == [1], "the owner of the channel gave his word"
    # Of a later build of another private channel the same is asked.
    world.api("owner").do("POST", "channels", {"organization": "acme", "name": "later"}, 201)
    text = {"specification": "channels: [later]\ndependencies: [x]\n"}
    assert world.api("contributor").do("POST", PATH.replace("grants", "builds"), text, 403)["code"] == "channel_not_shareable"


def test_an_organization_that_one_may_not_know_is_as_good_as_none(world: World, submit: Submit, beta: Organization) -> None:
    finish(submit())
    services.create_organization(actor=SYSTEM, name="gamma", owner=world.people["outsider"])
    team = services.create_team(actor=SYSTEM, organization=Organization.objects.get(name="gamma"), slug="lab")
    owner = world.api("owner")
    answers = {owner.do("POST", PATH, {**TEAM, "organization": name}, 404)["detail"] for name in ("gamma", "nowhere")}
    answers.add(owner.do("POST", PATH, {**TEAM, "team": "none"}, 404)["detail"])
    assert len(answers) == 1 and team.slug == "lab"
    assert owner("POST", PATH, {**TEAM, "role": "owner"}).status_code == 422, "an owner could share it further"


def test_nobody_learns_of_grants_who_may_not_list_them(world: World, submit: Submit) -> None:
    finish(submit())
    assert Client().get(f"/api/hub/v1/{PATH}").status_code == 401
    for who in ("outsider", "reader", "contributor"):
        assert world.api(who)("GET", PATH).status_code == 403


def test_a_build_of_a_virtual_channel_stays_behind_the_walls_of_a_member_that_left(world: World, submit: Submit) -> None:
    owner = Actor.of(world.people["owner"])
    joined = create_virtual(actor=owner, organization=world.acme, name="joined", members=["outer", "inner"], visibility="private")
    build = finish(submit("owner", text="name: tools\nchannels: [joined]\ndependencies: [inside]\n"))
    assert set(BuildMember.objects.filter(build=build).values_list("member__name", flat=True)) == {"inner", "outer"}
    guest = services.create_user(actor=SYSTEM, username="guest")
    for on in (build.environment, joined):
        services.grant(actor=owner, on=on, role="reader", user=guest)
    world.people["guest"] = guest
    assert seen(world, "guest") == []
    VirtualMember.objects.filter(virtual=joined, member=world.inner).delete()
    assert seen(world, "guest") == [], "its packages are in the build still"
    assert seen(world, "reader") == [1]
    services.grant(actor=owner, on=world.inner, role="reader", user=guest)
    assert seen(world, "guest") == [1]


def test_sharing_what_a_virtual_channel_shows_takes_the_word_of_its_members_owners(world: World, submit: Submit) -> None:
    owner = Actor.of(world.people["owner"])
    create_virtual(actor=owner, organization=world.acme, name="joined", members=["outer", "inner"], visibility="public")
    build = finish(submit("maintainer", text="name: tools\nchannels: [joined]\ndependencies: [inside]\n"))
    change = {"visibility": "public"}
    assert world.api("maintainer").do("PATCH", PATH.removesuffix("/grants"), change, 403)["code"] == "channel_not_shareable"
    environments.update_environment(actor=owner, environment=build.environment, changes=change)
    assert seen(world, "outsider") == [1]
