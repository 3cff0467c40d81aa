"""What roles give, on what, and to whom nothing is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest

from condahub.accounts import services
from condahub.accounts.models import Organization, User
from condahub.accounts.permissions import ALL_PERMISSIONS, AUDITOR_PERMISSIONS, HUB, LEVEL_PERMISSIONS, ROLE_PERMISSIONS, Level
from condahub.accounts.policy import SYSTEM, AccessTarget, Actor, Permission, Role, can, permissions_on, readable, require
from condahub.errors import Forbidden, NotAuthenticated
from tests.accounts.conftest import CHANNEL, OTHER_CHANNEL

P = Permission


def test_each_role_on_an_organization_gives_exactly_its_permissions_there_and_below(
    members: dict[str, User], acme: Organization, channel: AccessTarget
) -> None:
    for role, user in members.items():
        for target in (acme.access_target, channel, replace(channel, package_name="foo"), AccessTarget(acme.pk, environment_id=1)):
            assert permissions_on(Actor.of(user), target) == ROLE_PERMISSIONS[role], (role, target)


def test_permissions_are_listed_in_alphabetical_order_and_roles_build_on_each_other() -> None:
    values = [permission.value for permission in Permission]
    assert values == sorted(values)
    sets = [ROLE_PERMISSIONS[role] for role in Role.values]
    assert all(less < more for less, more in pairwise(sets))


@pytest.mark.parametrize("role", Role.values)
def test_a_grant_on_a_channel_reaches_that_channel_only(
    role: str, acme: Organization, owner: User, outsider: User, channel: AccessTarget
) -> None:
    services.grant(actor=Actor.of(owner), on=channel, role=role, user=outsider)
    actor = Actor.of(outsider)
    assert permissions_on(actor, channel) == LEVEL_PERMISSIONS[role, Level.CHANNEL]
    assert permissions_on(actor, replace(channel, package_name="foo")) == LEVEL_PERMISSIONS[role, Level.CHANNEL]
    assert permissions_on(actor, replace(channel, channel_id=OTHER_CHANNEL)) == frozenset()
    assert permissions_on(actor, acme) == {P.ORGANIZATION_READ}
    assert permissions_on(actor, AccessTarget(acme.pk, environment_id=CHANNEL)) == frozenset()


def test_no_grant_below_an_organization_makes_new_things_in_it_or_changes_it() -> None:
    for (_, level), held in LEVEL_PERMISSIONS.items():
        if level is not Level.ORGANIZATION:
            assert not {P.CHANNEL_CREATE, P.ENVIRONMENT_CREATE, P.MIRROR_CREATE, P.TOKEN_CREATE} & held
            assert not [permission for permission in held if permission.resource == "organization"]


def test_a_contributor_to_a_package_name_uploads_that_package_alone_and_reads_the_channel(
    owner: User, outsider: User, channel: AccessTarget
) -> None:
    services.grant(actor=Actor.of(owner), on=replace(channel, package_name="foo"), role="contributor", user=outsider)
    actor = Actor.of(outsider)
    assert can(actor, P.PACKAGE_UPLOAD, replace(channel, package_name="foo"))
    assert not can(actor, P.PACKAGE_UPLOAD, replace(channel, package_name="bar"))
    assert not can(actor, P.PACKAGE_UPLOAD, channel)
    assert can(actor, P.CHANNEL_READ, channel)
    assert not can(actor, P.CHANNEL_READ, replace(channel, channel_id=OTHER_CHANNEL))
    assert not can(actor, P.PACKAGE_UPLOAD, replace(channel, channel_id=OTHER_CHANNEL, package_name="foo"))


def test_an_environment_grant_reaches_that_environment_alone(
    acme: Organization, owner: User, outsider: User, channel: AccessTarget
) -> None:
    environment = AccessTarget(acme.pk, environment_id=7)
    services.grant(actor=Actor.of(owner), on=environment, role="contributor", user=outsider)
    assert can(Actor.of(outsider), P.BUILD_CREATE, environment)
    assert not can(Actor.of(outsider), P.BUILD_CREATE, replace(environment, environment_id=8))
    assert not can(Actor.of(outsider), P.CHANNEL_READ, channel)


def test_teams_give_what_they_are_granted_for_as_long_as_one_is_in_them(
    acme: Organization, owner: User, outsider: User, channel: AccessTarget
) -> None:
    boss = Actor.of(owner)
    team = services.create_team(actor=boss, organization=acme, slug="builders")
    services.grant(actor=boss, on=channel, role="maintainer", team=team)
    assert not can(Actor.of(outsider), P.PACKAGE_DELETE, channel)
    services.add_member(actor=boss, team=team, user=outsider)
    assert team.group.name == f"{acme.pk}:builders"
    assert can(Actor.of(outsider), P.PACKAGE_DELETE, channel)
    services.remove_member(actor=boss, team=team, user=outsider)
    assert not can(Actor.of(outsider), P.PACKAGE_DELETE, channel)


def test_roles_add_up(members: dict[str, User], channel: AccessTarget) -> None:
    reader = members["reader"]
    services.grant(actor=Actor.of(members["owner"]), on=replace(channel, package_name="foo"), role="owner", user=reader)
    assert can(Actor.of(reader), P.PACKAGE_OVERWRITE, replace(channel, package_name="foo"))
    assert can(Actor.of(reader), P.ENVIRONMENT_READ, AccessTarget(channel.organization_id, environment_id=3))


def test_public_is_for_anybody_internal_for_those_signed_in_private_for_neither(
    acme: Organization, outsider: User, channel: AccessTarget
) -> None:
    robot = services.create_robot(actor=SYSTEM, organization=acme, name="ci")
    for visibility, anybody, signed_in in (("public", True, True), ("internal", False, True), ("private", False, False)):
        target = replace(channel, visibility=visibility)
        assert can(Actor.anonymous(), P.CHANNEL_READ, target) is anybody
        assert can(Actor.of(outsider), P.CHANNEL_READ, target) is signed_in
        assert can(Actor.of(robot), P.CHANNEL_READ, target) is signed_in
        assert not can(Actor.of(outsider), P.PACKAGE_UPLOAD, target)
        assert not can(Actor.of(outsider), P.MEMBER_READ, target)
    environment = AccessTarget(acme.pk, environment_id=1, visibility="public")
    assert permissions_on(Actor.anonymous(), environment) == {P.BUILD_READ, P.ENVIRONMENT_READ}


def test_staff_may_all_but_promote_administrators_all_auditors_read_all(
    staff: User, admin: User, make_user: Callable[..., User], acme: Organization, channel: AccessTarget
) -> None:
    auditor = make_user("audrey", is_auditor=True)
    for target in (acme.access_target, channel, HUB):
        assert permissions_on(Actor.of(staff), target) == ALL_PERMISSIONS - {P.USER_PROMOTE}
        assert permissions_on(Actor.of(admin), target) == ALL_PERMISSIONS
        assert permissions_on(Actor.of(auditor), target) == AUDITOR_PERMISSIONS
        assert permissions_on(SYSTEM, target) == ALL_PERMISSIONS


def test_a_deactivated_account_may_nothing_at_all(owner: User, admin: User, channel: AccessTarget) -> None:
    admin.is_active = owner.is_active = False
    for user in (owner, admin):
        actor = Actor.of(user)
        assert not can(actor, P.CHANNEL_READ, replace(channel, visibility="public"))
        assert permissions_on(actor, channel) == frozenset()
        assert not actor.is_staff
        assert readable(actor).nothing


def test_refusals_are_401_to_nobody_and_403_to_somebody_whether_it_exists_or_not(outsider: User, channel: AccessTarget) -> None:
    with pytest.raises(NotAuthenticated):
        require(Actor.anonymous(), P.CHANNEL_READ, channel)
    with pytest.raises(Forbidden) as hidden:
        require(Actor.of(outsider), P.CHANNEL_READ, channel)
    with pytest.raises(Forbidden) as unknown:
        require(Actor.of(outsider), P.CHANNEL_READ, AccessTarget(organization_id=999_999, channel_id=1))
    assert hidden.value.as_dict() == unknown.value.as_dict()


def test_a_personal_organization_lets_in_its_person_and_staff_alone(
    owner: User, outsider: User, staff: User, make_user: Callable[..., User]
) -> None:
    home = owner.personal_organization
    assert home.name == "olga"
    assert permissions_on(Actor.of(owner), home) == ROLE_PERMISSIONS["owner"]
    assert can(Actor.of(staff), P.ORGANIZATION_UPDATE, home)
    # Not even a row that came past the services opens it.
    home.grants.create(user=outsider, role="owner")
    assert permissions_on(Actor.of(outsider), home) == frozenset()
    assert home.pk not in readable(Actor.of(outsider)).organization_ids


def test_a_deleted_organization_is_closed_to_all_but_staff(acme: Organization, owner: User, staff: User, channel: AccessTarget) -> None:
    services.delete_organization(actor=Actor.of(owner), organization=acme)
    assert permissions_on(Actor.of(owner), channel) == frozenset()
    services.restore_organization(actor=Actor.of(staff), organization=acme)
    assert can(Actor.of(owner), P.CHANNEL_DELETE, channel)


def test_a_grant_given_meanwhile_acts_at_once_though_the_actor_is_old(
    owner: User, outsider: User, channel: AccessTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    actor = Actor.of(outsider)
    assert not can(actor, P.CHANNEL_READ, channel)
    services.grant(actor=Actor.of(owner), on=channel, role="reader", user=outsider)
    monkeypatch.setattr("condahub.accounts.policy.REFUSAL_RECHECK_SECONDS", 0.0)
    assert can(actor, P.CHANNEL_READ, channel)


def test_all_roles_of_an_actor_take_one_query(
    members: dict[str, User], channel: AccessTarget, django_assert_num_queries: Callable[..., object]
) -> None:
    actor = Actor.of(User.objects.get(pk=members["contributor"].pk))
    with django_assert_num_queries(1):
        assert can(actor, P.PACKAGE_UPLOAD, channel)
        assert not can(actor, P.PACKAGE_DELETE, replace(channel, channel_id=OTHER_CHANNEL))
        readable(actor)
    with django_assert_num_queries(0):
        assert can(Actor.of(members["reader"]), P.CHANNEL_READ, replace(channel, visibility="public"))


def test_django_asks_the_policy_about_our_permissions_and_not_about_its_own(members: dict[str, User], acme: Organization) -> None:
    contributor = members["contributor"]
    assert contributor.has_perm("package:upload", acme)
    assert not contributor.has_perm("package:delete", acme)
    assert not contributor.has_perm("package:upload")
    assert not contributor.has_perm("accounts.view_user", acme)
    assert not contributor.has_perm("package:nonsense", acme)
