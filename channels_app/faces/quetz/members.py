"""Members of channels and packages: Quetz's three roles are grants."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.http import HttpRequest

from channels_app import selectors
from channels_app.faces.entry import Answer, Query, json_object, text_of
from channels_app.faces.quetz import shapes
from channels_app.faces.quetz.people import members_of, no_such_user
from channels_app.models import Channel
from condahub.accounts.models import Grant, GrantSource, User
from condahub.accounts.policy import Actor, Permission
from condahub.accounts.services import grant, revoke_grant
from condahub.errors import Conflict, NotFound


def list_members(request: HttpRequest, actor: Actor, channel: str) -> object:
    """Everybody with a role on the channel, those of its organization included, each with the strongest."""
    return _listed(selectors.channel_for(actor, channel, Permission.MEMBER_READ))


def add_member(request: HttpRequest, actor: Actor, channel: str) -> object:
    """`{username, role}`: gives the role, or changes the one that was given on this channel."""
    return _give(request, actor, selectors.channel_for(actor, channel, Permission.CHANNEL_MEMBERS))


def remove_member(request: HttpRequest, actor: Actor, channel: str) -> object:
    """`?username=`: takes away what was given on this channel; what comes from its organization is taken away there."""
    found = selectors.channel_for(actor, channel, Permission.CHANNEL_MEMBERS)
    user = _user(Query(request).text("username", None))
    given = Grant.objects.filter(user=user, organization_id=found.organization_id, channel_id=found.pk, package_name="")
    by_hand = list(given.filter(source=GrantSource.MANUAL))
    if not by_hand:
        raise _not_given_here(found, user)
    with transaction.atomic():
        for one in by_hand:
            revoke_grant(actor=actor, grant=one, object_name=f"channel:{found.name}")
    return None


def list_package_members(request: HttpRequest, actor: Actor, channel: str, package: str) -> object:
    """Those who hold a role on this package name alone."""
    return _listed(selectors.channel_for(actor, channel, Permission.MEMBER_READ, package_name=package), package)


def add_package_member(request: HttpRequest, actor: Actor, channel: str, package: str) -> object:
    found = selectors.channel_for(actor, channel, Permission.PACKAGE_MEMBERS, package_name=package)
    return _give(request, actor, found, package)


def _listed(channel: Channel, package_name: str = "") -> list[dict[str, Any]]:
    roles = members_of([channel], package_name=package_name)[channel.pk]
    users = User.objects.filter(pk__in=roles).order_by("username")
    return [{"role": shapes.quetz_role(roles[user.pk], on_package=bool(package_name)), "user": shapes.user(user)} for user in users]


def _give(request: HttpRequest, actor: Actor, channel: Channel, package_name: str = "") -> Answer:
    body = json_object(request)
    role = shapes.hub_role(text_of(body, "role"), on_package=bool(package_name))
    user = _user(text_of(body, "username"))
    name = f"channel:{channel.name}" + (f"/{package_name}" if package_name else "")
    grant(actor=actor, on=channel.target(package_name), role=role.value, user=user, object_name=name)
    return Answer(status=201)


def _user(username: str) -> User:
    found = User.objects.filter(username=username, is_active=True).first()
    if found is None:
        raise no_such_user(username)
    return found


def _not_given_here(channel: Channel, user: User) -> Conflict | NotFound:
    if user.pk in members_of([channel])[channel.pk]:
        return Conflict(
            f"'{user.username}' has a role on '{channel.name}' through its organization, a team or a directory.",
            code="inherited_role",
            hint="Change it there.",
        )
    return NotFound(f"'{user.username}' is no member of '{channel.name}'.", code="no_such_member")
