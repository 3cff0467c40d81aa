"""Channels as Quetz's clients make, list, change and delete them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.db.models import Count, IntegerField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest

from channels_app import selectors
from channels_app.faces.entry import Answer, Query, json_object, require_signed_in, text_of
from channels_app.faces.quetz import mirrors, shapes
from channels_app.faces.quetz.people import members_of
from channels_app.faces.quetz.search import CHANNEL_CONDITIONS, condition
from channels_app.models import Channel, Package
from channels_app.services import channels as services
from condahub.accounts.models import Organization
from condahub.accounts.policy import Actor, Permission, Visibility, can
from condahub.api import probing
from condahub.errors import Conflict, Forbidden, Throttled, Unprocessable

# Quetz's names for settings, and the hub's. `private` and `metadata` are looked at by themselves.
PATCHABLE = frozenset({"private", "size_limit", "metadata", "ttl"})
MAX_TTL_SECONDS = 2**31 - 1
_MIRROR_KEYS = ("mirror_channel_url", "mirror_mode", "mirror_api_key")


def list_channels(request: HttpRequest, actor: Actor, *, paginated: bool = False) -> object:
    """Visible channels by name; `public=false` leaves out those that everybody may read, `q` is the search language."""
    query = Query(request)
    channels = Channel.objects.visible_to(actor)
    if not query.flag("public", default=True):
        channels = channels.exclude(visibility=Visibility.PUBLIC)
    found = _with_counts(channels.filter(condition(query.text("q"), CHANNEL_CONDITIONS))).order_by("name")
    return shapes.listing(query, found, lambda part: _shaped(actor, part), paginated=paginated)


def get_channel(request: HttpRequest, actor: Actor, channel: str) -> object:
    return _one(actor, selectors.channel_for(actor, channel, Permission.CHANNEL_READ))


def create_channel(request: HttpRequest, actor: Actor) -> object:
    """In the token's organization, else `?organization=`, else the personal one; 409 `name_unavailable` for any name that can't be had."""
    require_signed_in(actor)
    tries = probing.key_of(actor.user_id, request.META)
    if probing.is_spent(tries):
        raise Throttled(
            "Too many names were tried that are not available.",
            hint="Wait a few minutes.",
            headers={"Retry-After": str(probing.PROBE_WINDOW_SECONDS)},
        )
    try:
        return _created(request, actor)
    except Conflict as error:
        if error.code == probing.PROBED_CODE:
            probing.count(tries)
        raise


def _created(request: HttpRequest, actor: Actor) -> Answer:
    body = json_object(request)
    name = text_of(body, "name")
    organization = _organization(actor, Query(request).text("organization"))
    if any(body.get(key) for key in _MIRROR_KEYS):
        mirrors.registered().create_channel(actor=actor, organization=organization, body=body)
        return Answer(status=201)
    changes = {key: body[key] for key in ("size_limit", "ttl") if body.get(key) is not None}
    metadata = {} if body.get("metadata") is None else body["metadata"]
    with transaction.atomic():
        channel = services.create_channel(
            actor=actor,
            organization=organization,
            name=name,
            visibility=Visibility.PRIVATE if _flag(body, "private", default=True) else Visibility.PUBLIC,
            description=text_of(body, "description", ""),
            metadata=_metadata(metadata),
        )
        if changes:
            services.update_channel(actor=actor, channel=channel, changes=_changes(channel, changes))
    return Answer(status=201)


def patch_channel(request: HttpRequest, actor: Actor, channel: str) -> object:
    """private, size_limit, metadata and ttl can be changed; anything else is a 422, as in Quetz."""
    found = selectors.channel_for(actor, channel, Permission.CHANNEL_UPDATE)
    body = json_object(request)
    unknown = sorted(set(body) - PATCHABLE)
    if unknown:
        raise Unprocessable(
            f"'{unknown[0][:60]}' can't be changed here.", code="unknown_setting", hint=f"Settings: {', '.join(sorted(PATCHABLE))}."
        )
    return _one(actor, services.update_channel(actor=actor, channel=found, changes=_changes(found, body)))


def delete_channel(request: HttpRequest, actor: Actor, channel: str) -> object:
    services.delete_channel(actor=actor, channel=selectors.channel_for(actor, channel, Permission.CHANNEL_DELETE))
    return None


def _changes(channel: Channel, body: dict[str, Any]) -> dict[str, Any]:
    """Quetz's settings in the hub's words."""
    changes: dict[str, Any] = {}
    if "private" in body:
        is_private = _flag(body, "private")
        # An internal channel is private in Quetz's eyes already: it is not closed further by saying so again.
        if is_private != (channel.visibility != Visibility.PUBLIC):
            changes["visibility"] = Visibility.PRIVATE if is_private else Visibility.PUBLIC
    if "size_limit" in body:
        limit = body["size_limit"]
        # Quetz's -1 and null: no limit.
        changes["quota_bytes"] = None if limit in (None, -1) else _whole(body, "size_limit", 2**63 - 1)
    if "ttl" in body:
        changes["ttl_seconds"] = _whole(body, "ttl", MAX_TTL_SECONDS)
    if "metadata" in body:
        changes["metadata"] = _metadata(body["metadata"])
    return changes


def _whole(body: dict[str, Any], key: str, most: int) -> int:
    value = body[key]
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise Unprocessable(f"'{key}' must be a whole number from 0.", code="bad_value")
    return value


def _flag(body: dict[str, Any], key: str, default: bool | None = None) -> bool:
    value = body.get(key, default)
    if not isinstance(value, bool):
        raise Unprocessable(f"'{key}' must be true or false.", code="bad_value")
    return value


def _metadata(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Unprocessable("'metadata' must be an object.", code="bad_value")
    return value


def _organization(actor: Actor, asked: str) -> Organization:
    """Where a new channel goes. Hidden and unknown organizations answer alike."""
    own = _token_organization(actor)
    if own is not None:
        if asked and asked != own.name:
            raise Forbidden("This token makes channels in its own organization only.", hint=f"Leave '?organization={asked[:64]}' out.")
        return own
    if asked:
        found = Organization.objects.filter(name=asked, deleted_at__isnull=True).first()
        if found is None or not can(actor, Permission.ORGANIZATION_READ, found):
            raise Forbidden
        return found
    personal = Organization.objects.filter(personal_of=actor.user, deleted_at__isnull=True).first()
    if personal is None:
        raise Unprocessable(
            "Say which organization the channel is for.", code="organization_missing", hint="Add '?organization=<name>' to the address."
        )
    return personal


def _token_organization(actor: Actor) -> Organization | None:
    """A robot's organization, or the only one that the token's limits name."""
    if actor.user is not None and actor.user.organization is not None:
        return actor.user.organization
    named = {limit.organization_id for limit in actor.limits() or ()}
    return Organization.objects.get(pk=named.pop()) if len(named) == 1 else None


def _with_counts(channels: QuerySet[Channel]) -> QuerySet[Channel]:
    shown = Package.objects.filter(~Q(latest_version=""), channel=OuterRef("pk")).order_by().values("channel")
    counted = Subquery(shown.annotate(count=Count("pk")).values("count"), output_field=IntegerField())
    return channels.select_related("organization").annotate(packages_count=Coalesce(counted, 0))


def _one(actor: Actor, channel: Channel) -> dict[str, Any]:
    return _shaped(actor, _with_counts(Channel.objects.filter(pk=channel.pk)))[0]


def _shaped(actor: Actor, part: Iterable[Channel]) -> list[dict[str, Any]]:
    """Channels with their counts: of members, those whom the asker may see listed."""
    some: list[Any] = list(part)
    members = members_of([channel for channel in some if can(actor, Permission.MEMBER_READ, channel)])
    described = mirrors.described(actor, some)
    return [
        shapes.channel(
            channel,
            members=len(members.get(channel.pk, ())),
            packages=channel.packages_count,
            mirror=described.get(channel.pk, (None, None)),
        )
        for channel in some
    ]
