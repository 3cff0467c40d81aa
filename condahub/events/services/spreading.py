"""Finds out who is told of an event, and how: rows in inboxes, mail that is due, deliveries to webhooks."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError, transaction
from django.utils import timezone

from condahub.accounts.models import User
from condahub.accounts.permissions import AccessTarget
from condahub.accounts.policy import Actor
from condahub.events import selectors
from condahub.events.models import Delivery, Event, InboxItem, MailState, Way
from condahub.events.services.webhooks import send_soon
from condahub.events.types import EventType, type_named
from condahub.jobs.services import enqueue

log = logging.getLogger(__name__)

MAIL = "events.mail"
# What happens in this time goes to somebody in one mail.
GATHER_MAIL_SECONDS = 20
BATCH = 50
UNKNOWN_HOURS = 24


class People:
    """The actors of one batch: their roles are read once, and forgotten with the batch."""

    def __init__(self) -> None:
        self._actors: dict[int, Actor] = {}

    def actors(self, ids: Iterable[int]) -> Iterator[Actor]:
        wanted = set(ids)
        missing = wanted - self._actors.keys()
        if missing:
            self._actors |= {user.pk: Actor.of(user) for user in User.objects.filter(pk__in=missing, is_active=True)}
        return (self._actors[pk] for pk in sorted(wanted & self._actors.keys()))


def spread() -> Iterator[int]:
    """Work through the events that were not told yet, in batches; yields how many each had. Repeating it tells nobody twice."""
    after = 0
    while True:
        people = People()
        batch = list(Event.objects.filter(spread_at__isnull=True, id__gt=after).order_by("id")[:BATCH])
        for event in batch:
            after = event.pk
            try:
                _spread_one(event, people)
            except DatabaseError:
                raise
            except Exception:
                # It stays for the next time, and keeps no other from being told.
                log.exception("%s could not be told", event)
        yield len(batch)
        if len(batch) < BATCH:
            return


def _spread_one(event: Event, people: People) -> None:
    try:
        event_type = type_named(event.type)
    except LookupError:
        # Of a newer release that runs beside this one, whose worker knows it; or of an app that is gone.
        if timezone.now() - event.at > timedelta(hours=UNKNOWN_HOURS):
            Event.objects.filter(pk=event.pk).update(spread_at=timezone.now())
        return
    target = selectors.target_now(event)
    ways, webhooks = _asked(event, event_type, target)
    items = [_item(event, event_type, target, actor, ways[actor.user_id or 0]) for actor in people.actors(ways)]
    told = [item for item in items if item is not None]
    with transaction.atomic():
        # By the unique constraints a second run adds nothing.
        InboxItem.objects.bulk_create(told, ignore_conflicts=True)
        Delivery.objects.bulk_create([Delivery(webhook_id=pk, event=event) for pk in sorted(webhooks)], ignore_conflicts=True)
        Event.objects.filter(pk=event.pk).update(spread_at=timezone.now())
    for item in told:
        if item.mail == MailState.DUE:
            mail_soon(item.user_id)
    if webhooks:
        send_soon()


def mail_soon(user_id: int) -> None:
    """Have what is due mailed to that person, together with what comes in the next seconds."""
    after = timezone.now() + timedelta(seconds=GATHER_MAIL_SECONDS)
    enqueue(kind=MAIL, payload={"user": user_id}, coalesce_key=f"user:{user_id}", actor_label="events", run_after=after)


def _asked(event: Event, event_type: EventType, target: AccessTarget) -> tuple[dict[int, set[Way]], set[int]]:
    """Who would be told, by user id, and which webhooks; whether people may hear of it is not looked at here."""
    if event.only_for_id is not None:
        return {event.only_for_id: {Way.INBOX, Way.EMAIL}}, set()
    ways: dict[int, set[Way]] = {}
    webhooks: set[int] = set()
    for subscription in selectors.subscriptions_for(event, target).select_related("webhook"):
        webhook = subscription.webhook
        if subscription.user_id is not None:
            ways.setdefault(subscription.user_id, set()).add(Way(subscription.way))
        elif webhook is not None and webhook.is_active:
            webhooks.add(webhook.pk)
    for user_id in event.tell_ids:
        ways.setdefault(user_id, set()).update((Way.INBOX, Way.EMAIL))
    if event_type.unasked is not None:
        for user in selectors.holders(event_type.unasked, target):
            ways.setdefault(user.pk, set()).add(Way.INBOX)
    return ways, webhooks


def _item(event: Event, event_type: EventType, target: AccessTarget, actor: Actor, ways: set[Way]) -> InboxItem | None:
    """The row for one person; None when he may not hear of it."""
    if actor.user is None or not selectors.may_hear(actor, event, event_type, target):
        return None
    can_mail = settings.CONDAHUB_EMAIL_ENABLED and bool(actor.user.email)
    mailed = Way.EMAIL in ways and can_mail
    return InboxItem(
        user=actor.user,
        event=event,
        # Where there is no mail, what would have been mailed is not lost.
        in_inbox=Way.INBOX in ways or not mailed,
        openly=selectors.hears_openly(actor, event, event_type, target),
        mail=MailState.DUE if mailed else MailState.NONE,
    )
