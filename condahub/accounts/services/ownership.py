"""Keeps an organization from being left without an owner."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from django.db.models import Q, QuerySet

from condahub.accounts.models import Grant, Organization, User
from condahub.accounts.permissions import Role
from condahub.errors import Conflict


def owners_of(organization: Organization) -> int:
    """How many active people own the organization, by themselves or through a team."""
    return _owners(organization).count()


def _owners(organization: Organization) -> QuerySet[User]:
    whole = {"organization": organization, "role": Role.OWNER, "channel_id": None, "environment_id": None}
    by_grant = Q(**{f"grants__{key}": value for key, value in whole.items()})
    by_team = Q(**{f"groups__team__grants__{key}": value for key, value in whole.items()})
    return User.objects.filter(by_grant | by_team, is_active=True, kind="person").distinct()


def left_without_owner(users: Collection[User]) -> list[Organization]:
    """The organizations, personal ones apart, in which nobody active would be an owner if these users went; by name."""
    owns = Grant.objects.filter(Q(user__in=users) | Q(team__group__user__in=users), role=Role.OWNER, channel_id=None, environment_id=None)
    theirs = Organization.objects.filter(pk__in=owns.values("organization"), personal_of=None, deleted_at=None).order_by("name")
    gone = {user.pk for user in users}
    return [one for one in theirs if not _owners(one).exclude(pk__in=gone).exists()]


@contextmanager
def keeping_an_owner(organization: Organization) -> Iterator[None]:
    """Within a transaction: refuse (409) what takes the last owner away. An organization that has none may be mended."""
    # Two owners who remove each other at the same moment must see each other's change.
    Organization.objects.select_for_update().get(pk=organization.pk)
    had_owner = owners_of(organization) > 0
    yield
    if had_owner and owners_of(organization) == 0:
        raise Conflict(
            f"This would leave the organization '{organization.name}' without an owner.",
            code="last_owner",
            hint="Make somebody else an owner first.",
        )
