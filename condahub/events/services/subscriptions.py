"""What a person asks to be told of, and how."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.conf import settings
from django.db import transaction

from condahub.accounts.permissions import AccessTarget, Permission
from condahub.accounts.policy import Actor, require
from condahub.errors import Conflict, Forbidden, Unprocessable
from condahub.events.models import SubscribedType, Subscription, Way
from condahub.events.services.inbox import require_whole
from condahub.events.types import ANY_TYPE, known_types

MAX_SUBSCRIPTIONS = 100


def subscribe(*, actor: Actor, types: Sequence[str], way: str, on: AccessTarget | None = None) -> Subscription:
    """Ask to be told of events of these types (`*`: of all), everywhere or on one organization, channel or environment.

    `on` must be something that the actor may read now; it is asked again whenever something is told.
    Raises Forbidden, Unprocessable, Conflict where there are too many already.
    """
    require_whole(actor)
    if actor.user is None:
        raise Forbidden
    _check_way(actor, way)
    names = checked_types(types)
    if on is not None and on.channel_id is None and on.environment_id is None:
        require(actor, Permission.ORGANIZATION_READ, on)
    if Subscription.objects.filter(user=actor.user).count() >= MAX_SUBSCRIPTIONS:
        raise Conflict(f"At most {MAX_SUBSCRIPTIONS} subscriptions.", code="too_many", hint="Delete one, or name more types in one.")
    with transaction.atomic():
        subscription = Subscription.objects.create(
            user=actor.user,
            way=way,
            organization_id=on.organization_id if on is not None else None,
            channel_id=on.channel_id if on is not None else None,
            environment_id=on.environment_id if on is not None else None,
        )
        set_types(subscription, names)
    return subscription


def update_subscription(
    *, actor: Actor, subscription: Subscription, types: Sequence[str] | None = None, way: str | None = None
) -> Subscription:
    """Change types or way of one's own."""
    _require_own(actor, subscription)
    if way is not None:
        _check_way(actor, way)
    names = None if types is None else checked_types(types)
    with transaction.atomic():
        if way is not None:
            subscription.way = way
            subscription.save(update_fields=["way"])
        if names is not None:
            set_types(subscription, names)
    return subscription


def unsubscribe(*, actor: Actor, subscription: Subscription) -> None:
    _require_own(actor, subscription)
    subscription.delete()


def checked_types(types: Iterable[str]) -> list[str]:
    """Known names, each once. Raises Unprocessable."""
    names = sorted(set(types))
    known = {one.name for one in known_types()} | {ANY_TYPE}
    if not names or not set(names) <= known:
        unknown = ", ".join(sorted(set(names) - known))[:200]
        raise Unprocessable(
            f"There is no event type {unknown}." if unknown else "Name at least one event type.",
            code="unknown_event_type",
            hint=f"One of: {', '.join(sorted(known))}.",
        )
    return names


def set_types(subscription: Subscription, names: Sequence[str]) -> None:
    """Replace the types of a subscription, in the caller's transaction."""
    subscription.types.exclude(name__in=names).delete()
    SubscribedType.objects.bulk_create([SubscribedType(subscription=subscription, name=name) for name in names], ignore_conflicts=True)
    # What was read before this change must not be shown after it.
    getattr(subscription, "_prefetched_objects_cache", {}).clear()


def _require_own(actor: Actor, subscription: Subscription) -> None:
    require_whole(actor)
    if subscription.user_id is None or subscription.user_id != actor.user_id:
        raise Forbidden


def _check_way(actor: Actor, way: str) -> None:
    if way not in (Way.INBOX, Way.EMAIL):
        raise Unprocessable("A person is told by inbox or e-mail.", code="invalid_way", hint="A webhook belongs to an organization.")
    if way == Way.EMAIL and not settings.CONDAHUB_EMAIL_ENABLED:
        raise Conflict("This hub sends no e-mail.", code="no_mail", hint="Choose the inbox, or ask IT to set e-mail up.")
    if way == Way.EMAIL and (actor.user is None or not actor.user.email):
        raise Conflict("Your account has no e-mail address.", code="no_address", hint="Give your account an address first.")
