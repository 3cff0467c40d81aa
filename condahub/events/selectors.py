"""Reads about events: where an object lies now, who may hear of it, who asked to, and what lies in an inbox."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Greatest
from django.utils import timezone

from condahub.accounts import places
from condahub.accounts.models import Organization, User, UserKind
from condahub.accounts.permissions import HUB, AccessTarget, Permission
from condahub.accounts.policy import SYSTEM, Actor, can, readable
from condahub.accounts.selectors import members_of
from condahub.errors import Forbidden, HubError
from condahub.events.models import Delivery, DeliveryState, Event, InboxItem, MailState, SubscribedType, Subscription, Webhook
from condahub.events.types import ANY_TYPE, EventType, known_types

# A receiver that is down for a moment is no news.
FAILING_SECONDS = 3600
LATE_MAIL_SECONDS = 1800


def target_now(event: Event) -> AccessTarget:
    """Where the event's object lies now: a channel may have become private since, or moved. What is gone counts as private."""
    kept = event.kept_target
    for kind, pk in ((places.CHANNEL, kept.channel_id), (places.ENVIRONMENT, kept.environment_id)):
        name = places.names_of(kind, [pk]).get(pk) if pk is not None else None
        if name is None:
            continue
        try:
            return replace(places.find(kind, SYSTEM, name), package_name=kept.package_name)
        except HubError:
            continue
    return kept


def may_hear(actor: Actor, event: Event, event_type: EventType, target: AccessTarget) -> bool:
    """Whether the actor may be told of this event now. `target`: where its object lies now."""
    if not actor.is_active:
        return False
    if event.only_for_id is not None:
        return event.only_for_id == actor.user_id
    return can(actor, event_type.needed, target)


def hears_openly(actor: Actor, event: Event, event_type: EventType, target: AccessTarget) -> bool:
    """Whether he may hear of it only because everybody (who is signed in) may."""
    return event.only_for_id is None and not can(actor, event_type.needed, replace(target, visibility="private"))


def holders(permission: Permission, target: AccessTarget) -> list[User]:
    """The people who may do that by a role of their own there; of the hub itself: staff."""
    if target == HUB:
        staff = User.objects.filter(Q(is_staff=True) | Q(is_superuser=True), is_active=True, kind=UserKind.PERSON)
        return [user for user in staff if can(Actor.of(user), permission, HUB)]
    private = replace(target, visibility="private")
    people = (member.user for member in members_of(SYSTEM, private))
    return [user for user in people if not user.is_robot and can(Actor.of(user), permission, private)]


def subscriptions_for(event: Event, target: AccessTarget) -> QuerySet[Subscription]:
    """What could be told of this event, by type and place; whether it may is for the policy."""
    of_type = SubscribedType.objects.filter(subscription=OuterRef("pk"), name__in=(event.type, ANY_TYPE))
    place = Q(organization__isnull=True)
    if target.organization_id:
        place |= Q(organization_id=target.organization_id)
    return Subscription.objects.filter(
        Exists(of_type),
        place,
        Q(channel_id__isnull=True) | Q(channel_id=target.channel_id),
        Q(environment_id__isnull=True) | Q(environment_id=target.environment_id),
    )


def inbox_of(actor: Actor) -> QuerySet[InboxItem]:
    """What lies in the actor's inbox and may still be read by him; with a token, what its scopes reach.

    Raises Forbidden for a token that acts in some places only: an inbox is of everywhere.
    """
    if actor.user is None or not actor.is_active:
        return InboxItem.objects.none()
    items = InboxItem.objects.filter(user=actor.user, in_inbox=True).select_related("event", "event__organization")
    if actor.limits() is not None:
        raise Forbidden("A token with limits has no inbox.", hint="Use a session, or a token without limits.")
    if actor.token is not None:
        items = items.filter(event__type__in=[one.name for one in known_types() if actor.token.allows(one.needed)])
    may = readable(Actor.of(actor.user))
    if may.all:
        return items
    still = Q(event__only_for=actor.user) | Q(openly=True)
    still |= Q(event__organization_id__in=may.organization_ids)
    still |= Q(event__channel_id__in=may.channel_ids) | Q(event__environment_id__in=may.environment_ids)
    return items.filter(still)


def subscriptions_of(actor: Actor) -> QuerySet[Subscription]:
    """The actor's own."""
    found = Subscription.objects.filter(user=actor.user) if actor.user is not None else Subscription.objects.none()
    return found.select_related("organization").prefetch_related("types")


def webhooks_of(organization: Organization) -> QuerySet[Webhook]:
    """For who may change the organization, which the caller settles."""
    return (
        Webhook.objects.filter(organization=organization)
        .select_related("organization", "created_by", "subscription")
        .prefetch_related("subscription__types")
    )


def deliveries_of(webhook: Webhook) -> QuerySet[Delivery]:
    """The log, the newest first."""
    return Delivery.objects.filter(webhook=webhook).select_related("event").order_by("-id")


def due_deliveries(now: datetime, *, without: Iterable[int] = ()) -> QuerySet[Delivery]:
    """What could be sent now, the longest due first; `without` those of some webhooks."""
    due = _on_their_way().filter(next_attempt_at__lte=now, webhook__quiet_until__lte=now).exclude(webhook__in=list(without))
    return due.select_related("webhook", "webhook__organization", "event", "event__organization").order_by("next_attempt_at", "id")


def next_due_at() -> datetime | None:
    """When the next delivery could be sent; None when none waits."""
    found: datetime | None = (
        _on_their_way()
        .annotate(due_at=Greatest(F("next_attempt_at"), F("webhook__quiet_until")))
        .order_by("due_at")
        .values_list("due_at", flat=True)
        .first()
    )
    return found


def _on_their_way() -> QuerySet[Delivery]:
    return Delivery.objects.filter(state=DeliveryState.WAITING)


def failing_webhooks() -> QuerySet[Webhook]:
    """Active ones whose receiver has taken nothing for an hour."""
    since = timezone.now() - timedelta(seconds=FAILING_SECONDS)
    return Webhook.objects.filter(is_active=True, failing_since__lt=since).select_related("organization").order_by("failing_since")


def late_mail() -> QuerySet[InboxItem]:
    return InboxItem.objects.filter(mail=MailState.DUE, event__at__lt=timezone.now() - timedelta(seconds=LATE_MAIL_SECONDS))
