"""Keeps an organization from being left without an owner."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db.models import Q

from condahub.accounts.models import Organization, User
from condahub.accounts.permissions import Role
from condahub.errors import Conflict


def owners_of(organization: Organization) -> int:
    """How many active people own the organization, by themselves or through a team."""
    whole = {"organization": organization, "role": Role.OWNER, "channel_id": None, "environment_id": None}
    by_grant = Q(**{f"grants__{key}": value for key, value in whole.items()})
    by_team = Q(**{f"groups__team__grants__{key}": value for key, value in whole.items()})
    return User.objects.filter(by_grant | by_team, is_active=True, kind="person").distinct().count()


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
