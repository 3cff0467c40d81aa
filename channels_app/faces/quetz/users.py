"""Users as Quetz's clients see them, their server roles, and who one is oneself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import Q
from django.http import HttpRequest

from channels_app.faces.entry import Query, json_object, require_signed_in
from channels_app.faces.quetz import mirrors, shapes
from channels_app.faces.quetz.people import stronger, visible_user, visible_users
from channels_app.models import Channel, Package
from condahub.accounts.actors import held_roles
from condahub.accounts.models import Grant, User
from condahub.accounts.policy import HUB, Actor, Permission, require
from condahub.accounts.services import deactivate_user, promote_user
from condahub.errors import Forbidden, Unprocessable


def me(request: HttpRequest, actor: Actor) -> object:
    """Quetz's Profile of whose token this is."""
    require_signed_in(actor)
    assert actor.user is not None
    return {**shapes.profile(actor.user), "user": {"id": str(actor.user.pk), "username": actor.user.username}}


def list_users(request: HttpRequest, actor: Actor, *, paginated: bool = False) -> object:
    require_signed_in(actor)
    query = Query(request)
    users = visible_users(actor)
    if text := query.text("q"):
        users = users.filter(username__icontains=text)
    return shapes.listing(query, users, lambda part: [shapes.user(user) for user in part], paginated=paginated)


def get_user(request: HttpRequest, actor: Actor, username: str) -> object:
    require_signed_in(actor)
    return shapes.user(visible_user(actor, username))


def delete_user(request: HttpRequest, actor: Actor, username: str) -> object:
    """Deactivates the account and ends its tokens: what it published and did stays on record."""
    require_signed_in(actor)
    deactivate_user(actor=actor, user=visible_user(actor, username))
    return None


def get_role(request: HttpRequest, actor: Actor, username: str) -> object:
    """`{"role"}`: owner for administrators, maintainer for IT staff, member for everybody else, null once deactivated."""
    require_signed_in(actor)
    if actor.user is None or actor.user.username != username:
        require(actor, Permission.USER_MANAGE, HUB)
    return {"role": _server_role(visible_user(actor, username))}


def set_role(request: HttpRequest, actor: Actor, username: str) -> object:
    require_signed_in(actor)
    require(actor, Permission.USER_MANAGE, HUB)
    user = visible_user(actor, username)
    role = json_object(request).get("role", "")
    if role is None:
        raise Unprocessable(
            "Every account of this hub is at least a member.", code="invalid_role", hint="DELETE the user to deactivate the account."
        )
    if not isinstance(role, str) or role not in shapes.ROLES:
        raise Unprocessable("This is no role.", code="invalid_role", hint=f"One of {', '.join(shapes.ROLES)}.")
    if role != _server_role(user):
        promote_user(actor=actor, user=user, is_superuser=role == shapes.OWNER, is_staff=role != shapes.MEMBER)
    return None


def channels_of(request: HttpRequest, actor: Actor, username: str, *, paginated: bool = False) -> object:
    """Channels on which the user holds a role and which the asker sees, each with that role."""
    user = _oneself_or_managed(actor, username)
    organizations: dict[int, str] = {}
    single: dict[int, str] = {}
    for held in (one for rows in held_roles(user.pk).values() for one in rows if one.environment_id is None and not one.package_name):
        if held.channel_id is None:
            organizations[held.organization_id] = stronger(organizations.get(held.organization_id), held.role)
        else:
            single[held.channel_id] = stronger(single.get(held.channel_id), held.role)
    channels = Channel.objects.visible_to(actor).filter(Q(organization_id__in=organizations) | Q(pk__in=single)).order_by("name")

    def shaped(part: Iterable[Channel]) -> list[dict[str, Any]]:
        some = list(part)
        described = mirrors.described(actor, some)
        rows = []
        for channel in some:
            roles = [role for role in (organizations.get(channel.organization_id), single.get(channel.pk)) if role]
            role = stronger(roles[0], roles[-1])
            base = shapes.channel_base(channel, mirror=described.get(channel.pk, (None, None)))
            rows.append({**base, "role": shapes.quetz_role(role)})
        return rows

    return shapes.listing(Query(request), channels, shaped, paginated=paginated)


def packages_of(request: HttpRequest, actor: Actor, username: str, *, paginated: bool = False) -> object:
    """Packages on whose name alone the user holds a role, each with its channel and that role."""
    user = _oneself_or_managed(actor, username)
    grants = Grant.objects.filter(Q(user=user) | Q(team__group__user=user), channel_id__isnull=False).exclude(package_name="")
    roles: dict[tuple[int, str], str] = {}
    for channel_id, name, role in grants.order_by().values_list("channel_id", "package_name", "role"):
        key = (channel_id or 0, name)
        roles[key] = stronger(roles.get(key), role)
    visible = Channel.objects.visible_to(actor).filter(pk__in={channel_id for channel_id, _ in roles}).values("pk")
    found = Package.objects.filter(channel__in=visible, name__in={name for _, name in roles}).exclude(latest_version="")
    rows = []
    for one in found.select_related("channel").order_by("name", "pk"):
        if held := roles.get((one.channel_id, one.name)):
            shown = shapes.quetz_role(held, on_package=True)
            rows.append({**shapes.package(one), "channel_name": one.channel.name, "role": shown})
    return shapes.listing(Query(request), rows, list, paginated=paginated)


def _oneself_or_managed(actor: Actor, username: str) -> User:
    """What somebody belongs to is his own and IT's to see."""
    require_signed_in(actor)
    if actor.user is not None and actor.user.username == username:
        if actor.token is not None and not actor.token.allows(Permission.CHANNEL_READ):
            raise Forbidden
        return actor.user
    require(actor, Permission.USER_MANAGE, HUB)
    return visible_user(actor, username)


def _server_role(user: User) -> str | None:
    if not user.is_active:
        return None
    if user.is_superuser:
        return shapes.OWNER
    return shapes.MAINTAINER if user.is_staff else shapes.MEMBER
