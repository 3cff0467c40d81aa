"""Quetz's JSON objects with exactly the fields that its clients build their own from, and its two kinds of lists."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from channels_app.faces.entry import MAX_PAGE_ITEMS, MAX_SKIP_ITEMS, Query
from channels_app.models import Channel, Package
from condahub.accounts.models import User
from condahub.accounts.permissions import Role
from condahub.accounts.policy import Visibility
from condahub.errors import Unprocessable

PAGE_ITEMS = 20
# Quetz's `limit=-1`.
ALL_ITEMS = -1

OWNER, MAINTAINER, MEMBER = "owner", "maintainer", "member"
ROLES = (OWNER, MAINTAINER, MEMBER)
# Quetz has no role on a channel for those who upload and change nothing else: they are told as those who change nothing.
_ON_CHANNEL: Mapping[str, str] = {Role.OWNER: OWNER, Role.MAINTAINER: MAINTAINER, Role.CONTRIBUTOR: MEMBER, Role.READER: MEMBER}
_ON_PACKAGE: Mapping[str, str] = {**_ON_CHANNEL, Role.CONTRIBUTOR: MAINTAINER}
_HUB_ON_CHANNEL: Mapping[str, Role] = {OWNER: Role.OWNER, MAINTAINER: Role.MAINTAINER, MEMBER: Role.READER}
_HUB_ON_PACKAGE: Mapping[str, Role] = {**_HUB_ON_CHANNEL, MAINTAINER: Role.CONTRIBUTOR}


def hub_role(quetz_role: str, *, on_package: bool) -> Role:
    """The hub's role for one of Quetz's on a channel or a package name. Raises Unprocessable."""
    found = (_HUB_ON_PACKAGE if on_package else _HUB_ON_CHANNEL).get(quetz_role)
    if found is None:
        raise Unprocessable("This is no role.", code="invalid_role", hint=f"One of {', '.join(ROLES)}.")
    return found


def quetz_role(hub_role: str, *, on_package: bool = False) -> str:
    """The other way round."""
    return (_ON_PACKAGE if on_package else _ON_CHANNEL)[hub_role]


def in_iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment is not None else None


def channel(of: Channel, *, members: int, packages: int, mirror: tuple[str | None, str | None] = (None, None)) -> dict[str, Any]:
    """Channel: quetz-client builds a dataclass of these fields and takes no other."""
    return {**channel_base(of, mirror=mirror), "members_count": members, "packages_count": packages}


def channel_base(of: Channel, *, mirror: tuple[str | None, str | None] = (None, None)) -> dict[str, Any]:
    return {
        "name": of.name,
        "description": of.description,
        "private": of.visibility != Visibility.PUBLIC,
        "size_limit": of.quota_bytes,
        "ttl": of.ttl_seconds,
        "mirror_channel_url": mirror[0],
        "mirror_mode": mirror[1],
    }


def package(of: Package) -> dict[str, Any]:
    """Package; `platforms` are the subdirs of its live files."""
    return {
        "name": of.name,
        "summary": of.summary,
        "description": of.description,
        "url": of.url,
        "platforms": of.platforms,
        "current_version": of.latest_version,
        "latest_change": in_iso(of.updated_at),
    }


def user(of: User) -> dict[str, Any]:
    return {"id": str(of.pk), "username": of.username, "profile": profile(of)}


def profile(of: User) -> dict[str, Any]:
    """The hub keeps no pictures of people."""
    return {"name": of.shown_name, "avatar_url": ""}


def listing(query: Query, rows: QuerySet[Any] | Sequence[Any], shaped: Callable[[Iterable[Any]], list[Any]], *, paginated: bool) -> object:
    """The part that `skip` and `limit` ask for: a bare list, or one in an envelope with the count of all.

    Plain lists give everything unless told otherwise, paginated ones PAGE_ITEMS.
    """
    skip = query.number("skip", 0, least=0, most=MAX_SKIP_ITEMS)
    limit = query.number("limit", PAGE_ITEMS if paginated else ALL_ITEMS, least=ALL_ITEMS, most=MAX_PAGE_ITEMS)
    part = rows[skip:] if limit == ALL_ITEMS else rows[skip : skip + limit]
    result = shaped(part)
    if not paginated:
        return result
    total = rows.count() if isinstance(rows, QuerySet) else len(rows)
    return {"pagination": {"skip": skip, "limit": limit, "all_records_count": total}, "result": result}
