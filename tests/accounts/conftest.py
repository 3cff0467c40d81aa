"""An organization with one person of each role, an outsider, and staff."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from condahub.accounts import cache, services, uses
from condahub.accounts.models import Organization, User
from condahub.accounts.policy import SYSTEM, AccessTarget, Actor, Role

CHANNEL, OTHER_CHANNEL = 11, 12


@pytest.fixture(autouse=True)
def _fresh_memories() -> Iterator[None]:
    cache.forget()
    uses.reset()
    yield
    uses.reset()


@pytest.fixture
def make_user(db: None) -> Callable[..., User]:
    def make(username: str, **flags: bool) -> User:
        return services.create_user(actor=SYSTEM, username=username, **flags)

    return make


@pytest.fixture
def admin(make_user: Callable[..., User]) -> User:
    return make_user("root", is_superuser=True)


@pytest.fixture
def staff(make_user: Callable[..., User]) -> User:
    return make_user("it", is_staff=True)


@pytest.fixture
def owner(make_user: Callable[..., User]) -> User:
    return make_user("olga")


@pytest.fixture
def outsider(make_user: Callable[..., User]) -> User:
    return make_user("otto")


@pytest.fixture
def acme(owner: User, staff: User) -> Organization:
    return services.create_organization(actor=Actor.of(staff), name="acme", owner=owner)


@pytest.fixture
def members(acme: Organization, owner: User, make_user: Callable[..., User]) -> dict[str, User]:
    """One person for each role on the organization."""
    people = {Role.OWNER.value: owner}
    for role in (Role.READER, Role.CONTRIBUTOR, Role.MAINTAINER):
        people[role.value] = make_user(role.value)
        services.grant(actor=Actor.of(owner), on=acme, role=role, user=people[role.value])
    return people


@pytest.fixture
def channel(acme: Organization) -> AccessTarget:
    return AccessTarget(organization_id=acme.pk, channel_id=CHANNEL)
