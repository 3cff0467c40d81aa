"""Keeps the tables of events small, and webhook secrets sealed with the present key."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.db.models import Model, QuerySet
from django.utils import timezone

from condahub import vault
from condahub.events import selectors
from condahub.events.models import Delivery, DeliveryState, Event, InboxItem, Webhook
from condahub.events.services.emitting import spread_soon
from condahub.events.services.spreading import mail_soon
from condahub.events.services.webhooks import PURPOSE, send_soon

KEEP_DELIVERIES_DAYS = 30
KEEP_EVENTS_DAYS = 180
PRUNE_AT_ONCE = 500


def prune() -> dict[str, int]:
    """Delete deliveries older than 30 days, and events with their inbox items older than 180; how many of each."""
    now = timezone.now()
    old_deliveries = Delivery.objects.filter(created_at__lt=now - timedelta(days=KEEP_DELIVERIES_DAYS)).exclude(state=DeliveryState.WAITING)
    old_events = Event.objects.filter(at__lt=now - timedelta(days=KEEP_EVENTS_DAYS), spread_at__isnull=False)
    return {"deliveries": _delete(old_deliveries), "events": _delete(old_events)}


def _delete(rows: QuerySet[Model]) -> int:
    """In small transactions; returns how many."""
    count = 0
    while pks := list(rows.order_by("pk").values_list("pk", flat=True)[:PRUNE_AT_ONCE]):
        with transaction.atomic():
            rows.model._default_manager.filter(pk__in=pks).delete()
        count += len(pks)
    return count


def reseal() -> int:
    """Seal webhook secrets anew that only a former key reads, so that the former key can go; returns how many."""
    count = 0
    for webhook in Webhook.objects.iterator():
        old = webhook.sealed_secret
        if vault.is_current(old, purpose=PURPOSE):
            continue
        try:
            sealed = vault.seal(vault.unseal(old, purpose=PURPOSE), purpose=PURPOSE)
        except vault.Unsealable:
            continue
        # Not over a secret that was rotated at this moment.
        count += Webhook.objects.filter(pk=webhook.pk, sealed_secret=old).update(sealed_secret=sealed)
    return count


def catch_up() -> list[str]:
    """Ask for whatever was left undone: by a process that died after its commit, or a mail server that was down."""
    found = []
    if Event.objects.filter(spread_at__isnull=True).exists():
        spread_soon()
        found.append("events")
    if selectors.due_deliveries(timezone.now()).exists():
        send_soon()
        found.append("deliveries")
    late = InboxItem.objects.filter(pk__in=selectors.late_mail().values("pk")).order_by().values_list("user_id", flat=True).distinct()
    for user_id in late[:PRUNE_AT_ONCE]:
        mail_soon(user_id)
        found.append("mail")
    return found
