"""People, organizations, teams and grants: who may change them, and what is never left behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from django.conf import LazySettings
from django.contrib.auth import authenticate
from django.contrib.auth.models import Group
from django.db import IntegrityError, transaction

from condahub.accounts import quota, selectors, services
from condahub.accounts.models import Grant, Organization, User
from condahub.accounts.permissions import HUB
from condahub.accounts.policy import SYSTEM, AccessTarget, Actor, Permission, can
from condahub.audit.models import AuditEvent
from condahub.errors import Conflict, Forbidden, NotAuthenticated, NotFound, QuotaExceeded, Unprocessable
from tests.accounts.conftest import CHANNEL


def test_a_person_gets_a_personal_organization_with_a_valid_free_name(make_user: Callable[..., User], settings: LazySettings) -> None:
    assert make_user("Ann.Lee").personal_organization.name == "ann-lee"
    assert make_user("ann-lee").personal_organization.name == "ann-lee-2"
    assert make_user("admin").personal_organization.name == "admin-home"
    assert make_user("__").personal_organization.name == "user-home"
    assert make_user("x" * 150).personal_organization.name.startswith("xxx")
    assert make_user("plain").personal_organization.quota_bytes == settings.CONDAHUB_PERSONAL_QUOTA_BYTES
    settings.CONDAHUB_PERSONAL_ORGANIZATIONS = False
    assert not Organization.objects.filter(personal_of=make_user("homeless")).exists()


@pytest.mark.parametrize("username", ["", "a b", "a/b", "a\x00b", "x" * 151])
def test_an_unfit_user_name_is_422_and_nothing_is_made(username: str, db: None) -> None:
    with pytest.raises(Unprocessable):
        services.create_user(actor=SYSTEM, username=username)
    assert not User.objects.exists()
    assert not Organization.objects.exists()


def test_user_names_that_differ_by_case_alone_are_one(make_user: Callable[..., User]) -> None:
    make_user("maria")
    with pytest.raises(Conflict) as refused:
        make_user("Maria")
    assert refused.value.code == "name_unavailable"


def test_a_weak_password_is_422_and_says_why(db: None) -> None:
    with pytest.raises(Unprocessable) as refused:
        services.create_user(actor=SYSTEM, username="maria", password="12345")
    assert "short" in refused.value.detail
    services.create_user(actor=SYSTEM, username="maria", password="a rather long one")
    assert authenticate(username="maria", password="a rather long one") is not None


def test_staff_makes_people_but_administrators_alone_make_staff(staff: User, admin: User, owner: User) -> None:
    services.create_user(actor=Actor.of(staff), username="new")
    for flag in ("is_staff", "is_superuser", "is_auditor"):
        with pytest.raises(Forbidden):
            services.create_user(actor=Actor.of(staff), username=flag, **{flag: True})
        with pytest.raises(Forbidden):
            services.promote_user(actor=Actor.of(staff), user=staff, **{flag: True})
    services.promote_user(actor=Actor.of(admin), user=owner, is_staff=True)
    assert can(Actor.of(User.objects.get(pk=owner.pk)), Permission.HUB_OPERATE, HUB)
    with pytest.raises(Forbidden):
        services.create_user(actor=Actor.of(User.objects.get(username="new")), username="newer")


def test_staff_can_not_stop_or_take_over_an_administrator(staff: User, admin: User) -> None:
    for act in (
        lambda: services.deactivate_user(actor=Actor.of(staff), user=admin),
        lambda: services.set_password(actor=Actor.of(staff), user=admin, password="a rather long one"),
        lambda: services.update_user(actor=Actor.of(staff), user=admin, email="it@example.org"),
    ):
        with pytest.raises(Forbidden):
            act()


def test_the_last_administrator_stays(admin: User, make_user: Callable[..., User]) -> None:
    with pytest.raises(Conflict):
        services.promote_user(actor=Actor.of(admin), user=admin, is_superuser=False)
    with pytest.raises(Conflict):
        services.deactivate_user(actor=SYSTEM, user=admin)
    second = make_user("second", is_superuser=True)
    services.deactivate_user(actor=Actor.of(second), user=admin)
    assert not User.objects.get(pk=admin.pk).is_active


def test_a_robot_is_never_staff_and_belongs_to_an_organization_even_past_the_services(acme: Organization, owner: User, admin: User) -> None:
    robot = services.create_robot(actor=Actor.of(owner), organization=acme, name="ci")
    assert robot.username == "acme+ci"
    with pytest.raises(Unprocessable):
        services.promote_user(actor=Actor.of(admin), user=robot, is_staff=True)
    for wrong in ({"is_staff": True}, {"organization": None}):
        with pytest.raises(IntegrityError), transaction.atomic():
            User.objects.filter(pk=robot.pk).update(**wrong)
    assert not hasattr(robot, "personal_organization")


def test_only_staff_and_those_named_make_organizations(staff: User, outsider: User, settings: LazySettings) -> None:
    with pytest.raises(Forbidden):
        services.create_organization(actor=Actor.of(outsider), name="mine")
    with pytest.raises(NotAuthenticated):
        services.create_organization(actor=Actor.anonymous(), name="mine")
    settings.CONDAHUB_ORGANIZATION_CREATORS = ["otto"]
    made = services.create_organization(actor=Actor.of(outsider), name="mine")
    assert can(Actor.of(outsider), Permission.ORGANIZATION_MEMBERS, made)
    with pytest.raises(Forbidden):
        services.set_quota(actor=Actor.of(outsider), organization=made, quota_bytes=None)


def test_a_taken_a_deleted_and_a_reserved_name_answer_alike(acme: Organization, staff: User, owner: User) -> None:
    services.create_organization(actor=Actor.of(staff), name="gone")
    services.delete_organization(actor=Actor.of(staff), organization=Organization.objects.get(name="gone"))
    answers = []
    for name in ("acme", "gone", "admin", owner.personal_organization.name):
        with pytest.raises(Conflict) as refused:
            services.create_organization(actor=Actor.of(staff), name=name)
        answers.append(refused.value.as_dict())
    assert all(answer == answers[0] for answer in answers)


def test_the_last_owner_can_not_be_taken_away_by_any_road(acme: Organization, owner: User, outsider: User, staff: User) -> None:
    boss = Actor.of(owner)
    own = Grant.objects.get(user=owner)
    roads = [
        lambda: services.revoke_grant(actor=boss, grant=Grant.objects.get(pk=own.pk)),
        lambda: services.revoke_grant(actor=Actor.of(staff), grant=Grant.objects.get(pk=own.pk)),
        lambda: services.grant(actor=boss, on=acme, role="maintainer", user=owner),
    ]
    for road in roads:
        with pytest.raises(Conflict) as refused:
            road()
        assert refused.value.code == "last_owner"
        assert refused.value.hint
    team = services.create_team(actor=boss, organization=acme, slug="heads")
    services.grant(actor=boss, on=acme, role="owner", team=team)
    services.add_member(actor=boss, team=team, user=outsider)
    roads[0]()
    for road in (
        lambda: services.remove_member(actor=Actor.of(staff), team=team, user=outsider),
        lambda: services.delete_team(actor=Actor.of(staff), team=team),
        lambda: services.revoke_grant(actor=Actor.of(staff), grant=Grant.objects.get(team=team)),
    ):
        with pytest.raises(Conflict):
            road()
    assert can(Actor.of(outsider), Permission.ORGANIZATION_DELETE, acme)


def test_granting_again_replaces_the_role_and_each_source_keeps_its_own(acme: Organization, owner: User, outsider: User) -> None:
    boss = Actor.of(owner)
    first = services.grant(actor=boss, on=acme, role="reader", user=outsider)
    second = services.grant(actor=boss, on=acme, role="maintainer", user=outsider)
    assert first.pk == second.pk
    services.grant(actor=boss, on=acme, role="reader", user=outsider, source="ldap")
    assert sorted(Grant.objects.filter(user=outsider).values_list("role", "source")) == [("maintainer", "manual"), ("reader", "ldap")]
    with pytest.raises(IntegrityError), transaction.atomic():
        Grant.objects.create(organization=acme, user=outsider, role="owner")


@pytest.mark.parametrize("role", ["reader", "contributor", "maintainer"])
def test_nobody_below_an_owner_changes_who_is_a_member(
    role: str, members: dict[str, User], acme: Organization, outsider: User, channel: AccessTarget
) -> None:
    actor = Actor.of(members[role])
    for target in (acme.access_target, channel, replace(channel, package_name="foo"), AccessTarget(acme.pk, environment_id=1)):
        with pytest.raises(Forbidden):
            services.grant(actor=actor, on=target, role="reader", user=outsider)
    with pytest.raises(Forbidden):
        services.create_team(actor=actor, organization=acme, slug="mine")


def test_an_owner_of_a_channel_shares_that_channel_and_no_more(
    acme: Organization, owner: User, outsider: User, channel: AccessTarget, staff: User
) -> None:
    services.grant(actor=Actor.of(owner), on=channel, role="owner", user=outsider)
    services.grant(actor=Actor.of(outsider), on=replace(channel, package_name="foo"), role="contributor", user=staff)
    for target in (acme.access_target, replace(channel, channel_id=CHANNEL + 1)):
        with pytest.raises(Forbidden):
            services.grant(actor=Actor.of(outsider), on=target, role="reader", user=outsider)


def test_a_personal_organization_is_never_shared(owner: User, outsider: User, staff: User) -> None:
    home = owner.personal_organization
    for actor in (owner, staff):
        with pytest.raises(Conflict):
            services.grant(actor=Actor.of(actor), on=home, role="reader", user=outsider)
        with pytest.raises(Conflict):
            services.create_team(actor=Actor.of(actor), organization=home, slug="us")
    with pytest.raises(Forbidden):
        services.delete_organization(actor=Actor.of(owner), organization=home)


def test_grants_take_one_subject_a_known_role_and_no_strangers(
    acme: Organization, owner: User, outsider: User, staff: User, channel: AccessTarget
) -> None:
    boss = Actor.of(owner)
    other = services.create_organization(actor=Actor.of(staff), name="other")
    foreign_team = services.create_team(actor=Actor.of(staff), organization=other, slug="crew")
    foreign_robot = services.create_robot(actor=Actor.of(staff), organization=other, name="r")
    wrong: list[dict[str, object]] = [
        {"role": "king", "user": outsider},
        {"role": "reader"},
        {"role": "reader", "user": outsider, "team": foreign_team},
        {"role": "reader", "team": foreign_team},
        {"role": "reader", "user": foreign_robot},
        {"role": "reader", "user": outsider, "on": replace(channel, package_name="../etc")},
    ]
    for attempt in wrong:
        with pytest.raises((Unprocessable, Conflict)):
            services.grant(actor=boss, **{"on": channel, **attempt})  # type: ignore[arg-type]
    assert not Grant.objects.filter(channel_id=CHANNEL).exists()


def test_a_team_goes_with_its_group_and_grants(acme: Organization, owner: User, outsider: User, channel: AccessTarget) -> None:
    boss = Actor.of(owner)
    team = services.create_team(actor=boss, organization=acme, slug="temps")
    services.add_member(actor=boss, team=team, user=outsider)
    services.grant(actor=boss, on=channel, role="owner", team=team)
    with pytest.raises(Conflict):
        services.create_team(actor=boss, organization=acme, slug="temps")
    services.delete_team(actor=boss, team=team)
    assert not Group.objects.exists()
    assert not can(Actor.of(outsider), Permission.CHANNEL_READ, channel)


def test_an_external_group_is_for_staff_to_name(acme: Organization, owner: User, staff: User) -> None:
    with pytest.raises(Forbidden):
        services.create_team(actor=Actor.of(owner), organization=acme, slug="x", external_group="cn=payroll")
    team = services.create_team(actor=Actor.of(staff), organization=acme, slug="x", external_group="cn=payroll")
    assert services.update_team(actor=Actor.of(owner), team=team, title="X").external_group == "cn=payroll"


def test_members_are_told_with_their_highest_role_and_every_reason(
    acme: Organization, owner: User, outsider: User, channel: AccessTarget
) -> None:
    boss = Actor.of(owner)
    team = services.create_team(actor=boss, organization=acme, slug="builders")
    services.add_member(actor=boss, team=team, user=outsider)
    services.grant(actor=boss, on=acme, role="reader", team=team)
    services.grant(actor=boss, on=channel, role="maintainer", user=outsider)
    found = {member.user.username: member for member in selectors.members_of(boss, channel)}
    assert found["otto"].role == "maintainer"
    assert len(found["otto"].why) == 2
    assert any("builders" in why for why in found["otto"].why)
    assert found["olga"].role == "owner"
    assert [member.user.username for member in selectors.members_of(boss, channel, inherited=False)] == ["otto"]
    assert [member.role for member in selectors.members_of(Actor.of(owner), owner.personal_organization)] == ["owner"]


def test_the_number_of_queries_for_members_does_not_grow_with_them(
    acme: Organization, owner: User, make_user: Callable[..., User], django_assert_max_num_queries: Callable[..., object]
) -> None:
    boss = Actor.of(owner)
    for number in range(4):
        team = services.create_team(actor=boss, organization=acme, slug=f"t{number}")
        services.grant(actor=boss, on=acme, role="reader", team=team)
        services.add_member(actor=boss, team=team, user=make_user(f"u{number}"))
    with django_assert_max_num_queries(6):
        assert len(selectors.members_of(Actor.of(owner), acme)) == 5


def test_nobody_learns_of_organizations_or_people_he_has_nothing_to_do_with(
    acme: Organization, members: dict[str, User], outsider: User, staff: User
) -> None:
    assert {found.name for found in selectors.visible_organizations(Actor.of(outsider))} == {"otto"}
    assert not selectors.visible_organizations(Actor.anonymous())
    assert {found.name for found in selectors.visible_organizations(Actor.of(members["reader"]))} == {"acme", "reader"}
    assert selectors.visible_organizations(Actor.of(staff)).count() == Organization.objects.count()
    answers = []
    for name in ("acme", "nowhere"):
        with pytest.raises(NotFound) as refused:
            selectors.organization_by_name(Actor.of(outsider), name)
        answers.append(refused.value.as_dict())
    assert answers[0] == answers[1]
    assert set(selectors.visible_users(Actor.of(outsider))) == {outsider}
    assert set(selectors.visible_users(Actor.of(members["reader"]))) == {members["reader"]}
    assert set(selectors.visible_users(Actor.of(members["owner"]))) == set(members.values())
    assert outsider in selectors.visible_users(Actor.of(staff))


def test_tokens_are_listed_to_their_owner_to_owners_of_the_robot_and_to_staff(
    acme: Organization, owner: User, outsider: User, staff: User
) -> None:
    robot = services.create_robot(actor=Actor.of(owner), organization=acme, name="ci")
    services.create_token(actor=Actor.of(owner), name="robot's", scopes=["ci"], owner=robot)
    services.create_token(actor=Actor.of(outsider), name="otto's", scopes=["read"])
    assert [token.name for token in selectors.visible_tokens(Actor.of(owner))] == ["robot's"]
    assert [token.name for token in selectors.tokens_of(Actor.of(owner), robot)] == ["robot's"]
    assert [token.name for token in selectors.visible_tokens(Actor.of(outsider))] == ["otto's"]
    assert selectors.visible_tokens(Actor.of(staff)).count() == 2
    with pytest.raises(Forbidden):
        selectors.tokens_of(Actor.of(outsider), robot)


def test_a_quota_counts_every_kind_and_says_its_numbers(acme: Organization, staff: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quota, "_usages", {})
    quota.register_usage("channels", lambda organization_id: 700)
    quota.register_usage("artifacts", lambda organization_id: 200)
    quota.room_for(acme, 10**12)
    services.set_quota(actor=Actor.of(staff), organization=acme, quota_bytes=1000)
    quota.room_for(acme, 100)
    with pytest.raises(QuotaExceeded) as refused:
        quota.room_for(acme, 101)
    assert "900 of 1,000" in refused.value.detail
    with pytest.raises(Unprocessable):
        services.set_quota(actor=Actor.of(staff), organization=acme, quota_bytes=-1)


def test_what_fails_leaves_neither_a_change_nor_an_event(acme: Organization, owner: User) -> None:
    before = AuditEvent.objects.count()
    with pytest.raises(Conflict):
        services.grant(actor=Actor.of(owner), on=acme, role="reader", user=owner)
    assert AuditEvent.objects.count() == before
    assert Grant.objects.get(user=owner).role == "owner"


def test_every_change_is_audited_with_who_what_and_where(acme: Organization, owner: User, outsider: User) -> None:
    boss = Actor.of(owner)
    team = services.create_team(actor=boss, organization=acme, slug="crew")
    services.add_member(actor=boss, team=team, user=outsider)
    given = services.grant(actor=boss, on=acme, role="reader", user=outsider)
    services.revoke_grant(actor=Actor.of(outsider), grant=given)
    services.update_organization(actor=boss, organization=acme, title="Acme")
    robot = services.create_robot(actor=boss, organization=acme, name="ci")
    made = services.create_token(actor=boss, name="ci", scopes=["ci"], owner=robot)
    services.revoke_token(actor=boss, token=made.token)
    events = AuditEvent.objects.filter(organization_id=acme.pk).order_by("pk")
    assert [event.action for event in events] == [
        "organization.create",
        "team.create",
        "team.add_member",
        "grant.give",
        "grant.revoke",
        "organization.update",
        "robot.create",
        "token.create",
        "token.revoke",
    ]
    assert {event.actor_label for event in events} == {"it", "olga", "otto"}
    assert made.secret not in str([event.details for event in events])
