"""API keys of the person who asks: tokens of the hub, whose secret is answered once and never again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest

from channels_app import selectors
from channels_app.faces.entry import Answer, json_object, require_signed_in, text_of
from channels_app.faces.quetz import shapes
from channels_app.models import Channel
from condahub.accounts.actors import Limit
from condahub.accounts.models import ApiToken, TokenLimit
from condahub.accounts.permissions import FULL_SCOPE
from condahub.accounts.policy import Actor, Permission
from condahub.accounts.secrets import hash_of
from condahub.accounts.services import create_token, revoke_token
from condahub.errors import Conflict, Forbidden, NotFound, Unprocessable


def list_keys(request: HttpRequest, actor: Actor) -> object:
    """One's own live keys. `key` is a handle to delete it by, not the secret."""
    _require_scope(actor, Permission.TOKEN_READ)
    tokens = list(_own(actor).prefetch_related("limits"))
    names = _channel_names(tokens)
    return [_shaped(token, list(token.limits.all()), names, key=handle(token)) for token in tokens]


def create_key(request: HttpRequest, actor: Actor) -> object:
    """`{description, expire_at, roles}`; no roles: all that its owner may do. The answer's `key` is the secret, shown this once."""
    require_signed_in(actor)
    body = json_object(request)
    roles = [] if body.get("roles") is None else body["roles"]
    if not isinstance(roles, list) or not all(isinstance(role, dict) for role in roles):
        raise Unprocessable(
            "'roles' must be a list of objects.", code="bad_value", hint='For instance [{"channel": "tools", "role": "maintainer"}].'
        )
    made = create_token(
        actor=actor,
        name=text_of(body, "description", "") or "API key",
        scopes=[FULL_SCOPE],
        limits=[_limit(actor, role) for role in roles],
        expires_at=_end_of(text_of(body, "expire_at", "")),
    )
    limits = list(made.token.limits.all())
    return Answer(_shaped(made.token, limits, _channel_names([made.token]), key=made.secret), status=201)


def delete_key(request: HttpRequest, actor: Actor, key: str) -> object:
    """`key`: the handle of the list, the token's number, its prefix where no other begins so, or the whole secret."""
    require_signed_in(actor)
    revoke_token(actor=actor, token=_found(actor, key))
    return None


def handle(token: ApiToken) -> str:
    """What may be shown of a key and still names it alone."""
    return f"{token.prefix}-{token.pk}"


def _require_scope(actor: Actor, permission: Permission) -> None:
    require_signed_in(actor)
    if actor.token is not None and not actor.token.allows(permission):
        raise Forbidden


def _own(actor: Actor) -> QuerySet[ApiToken]:
    return ApiToken.objects.filter(owner=actor.user, revoked_at__isnull=True)


def _found(actor: Actor, key: str) -> ApiToken:
    number = key.rpartition("-")[2]
    for token in _own(actor).filter(pk=int(number)) if number.isascii() and number.isdigit() and len(number) < 18 else ():
        if key in (number, handle(token)):
            return token
    found = list(_own(actor).filter(hash=hash_of(key))) or list(_own(actor).filter(prefix=key)[:2])
    if len(found) > 1:
        raise Conflict("Several of your keys begin so.", code="ambiguous_key", hint="Use the 'key' that the list of your keys gives.")
    if not found:
        raise NotFound("You have no such key.", code="no_such_key")
    return found[0]


def _limit(actor: Actor, role: Mapping[str, Any]) -> Limit:
    package = text_of(role, "package", "")
    hub_role = shapes.hub_role(text_of(role, "role"), on_package=bool(package))
    name = text_of(role, "channel", "")
    if not name:
        raise Unprocessable(
            "A key's role needs a channel.",
            code="missing",
            hint="Name the channel, or send no roles for a key that follows your own power.",
        )
    channel = selectors.channel_for(actor, name, Permission.CHANNEL_READ)
    return Limit(channel.organization_id, channel.pk, package, hub_role.value)


def _end_of(day: str) -> datetime | None:
    """Quetz's keys live through their last day (UTC)."""
    if not day:
        return None
    try:
        last = date.fromisoformat(day[:10])
        return datetime.combine(last, time(), tzinfo=UTC) + timedelta(days=1)
    except (ValueError, OverflowError):
        raise Unprocessable("'expire_at' is not a date.", code="bad_value", hint="For instance 2030-01-31.") from None


def _channel_names(tokens: list[ApiToken]) -> Mapping[int, str]:
    limits = TokenLimit.objects.filter(token__in=tokens, channel_id__isnull=False)
    return dict(Channel.objects.filter(pk__in=limits.values("channel_id")).values_list("pk", "name"))


def _shaped(token: ApiToken, limits: list[TokenLimit], names: Mapping[int, str], *, key: str) -> dict[str, Any]:
    return {
        "key": key,
        "description": token.name,
        "time_created": token.created_at.date().isoformat(),
        "expire_at": (token.expires_at - timedelta(microseconds=1)).date().isoformat() if token.expires_at else None,
        "roles": [
            {
                "channel": names.get(limit.channel_id or 0),
                "package": limit.package_name or None,
                "role": shapes.quetz_role(limit.role, on_package=bool(limit.package_name)) if limit.role else None,
            }
            for limit in limits
        ],
    }
