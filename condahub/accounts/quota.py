"""How many bytes an organization holds, as the rooms above report it, and whether more fit."""

from __future__ import annotations

from collections.abc import Callable

from condahub.accounts.models import Organization
from condahub.errors import QuotaExceeded

type_of_usage = Callable[[int], int]

_usages: dict[str, type_of_usage] = {}


def register_usage(kind: str, usage: type_of_usage) -> None:
    """An app names what it keeps (`channels`) and how to count its logical bytes, in full, for an organization's id."""
    _usages[kind] = usage


def usage_by_kind(organization: Organization) -> dict[str, int]:
    """Logical bytes by kind: what two organizations hold together is counted in full to each."""
    return {kind: usage(organization.pk) for kind, usage in sorted(_usages.items())}


def used_bytes(organization: Organization) -> int:
    return sum(usage_by_kind(organization).values())


def room_for(organization: Organization, nbytes: int) -> None:
    """Raise QuotaExceeded, naming the numbers, when so many more bytes don't fit. No query where there is no quota."""
    if organization.quota_bytes is None:
        return
    used = used_bytes(organization)
    if used + nbytes > organization.quota_bytes:
        raise QuotaExceeded(
            f"The organization '{organization.name}' holds {used:,} of {organization.quota_bytes:,} bytes; {nbytes:,} more do not fit."
        )
