"""Events, who asked to be told of which, what lies in whose inbox, webhooks and what was sent to them."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from condahub.accounts.models import Organization
from condahub.accounts.permissions import HUB, AccessTarget
from condahub.events.types import ANY_TYPE

MAX_SENTENCE_CHARS = 500


class Way(models.TextChoices):
    """How somebody is told."""

    INBOX = "inbox", "Inbox"
    EMAIL = "email", "E-mail"
    WEBHOOK = "webhook", "Webhook"


class MailState(models.TextChoices):
    """none: it is not mailed; due: it goes with the next mail to that person; sent."""

    NONE = "none", "Not mailed"
    DUE = "due", "Due"
    SENT = "sent", "Sent"


class DeliveryState(models.TextChoices):
    WAITING = "waiting", "Waiting"
    DELIVERED = "delivered", "Delivered"
    FAILED = "failed", "Failed"


class Event(models.Model):
    """One thing that happened, appended in the transaction of what it tells of.

    Channel and environment are plain ids, as their models live in rooms above this one. `only_for`: nobody else hears of it.
    `tell_ids`: users who hear of it without having subscribed, if they may.
    """

    type = models.CharField(max_length=64)
    severity = models.CharField(max_length=8)
    at = models.DateTimeField(default=timezone.now, editable=False)
    organization = models.ForeignKey(Organization, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    channel_id = models.BigIntegerField(null=True, blank=True)
    package_name = models.CharField(max_length=128, blank=True, default="")
    environment_id = models.BigIntegerField(null=True, blank=True)
    object_type = models.CharField(max_length=32)
    object_id = models.BigIntegerField(null=True, blank=True)
    object_name = models.CharField(max_length=255)
    actor_label = models.CharField(max_length=200, blank=True, default="")
    sentence = models.CharField(max_length=MAX_SENTENCE_CHARS)
    payload: models.JSONField[dict[str, Any], dict[str, Any]] = models.JSONField(default=dict)
    only_for = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    tell_ids: models.JSONField[list[int], list[int]] = models.JSONField(default=list)
    once_key = models.CharField(max_length=200, null=True, blank=True, unique=True, help_text="Events with the same key happen once.")
    spread_at = models.DateTimeField(null=True, blank=True, help_text="When it was found out who is told.")

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["id"], condition=Q(spread_at__isnull=True), name="events_to_spread"),
            models.Index(fields=["at"], name="events_to_prune"),
        ]

    def __str__(self) -> str:
        return f"{self.type} #{self.pk}"

    @property
    def kept_target(self) -> AccessTarget:
        """Where its object lay when it happened, taken for private; where it lies now is for `selectors.target_now`."""
        if self.organization_id is None:
            return HUB
        return AccessTarget(
            organization_id=self.organization_id,
            channel_id=self.channel_id,
            package_name=self.package_name,
            environment_id=self.environment_id,
        )


class Webhook(models.Model):
    """An address of an organization that is told. The URL may hold a secret too: it is shown to the organization's owners alone."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="webhooks")
    name = models.CharField(max_length=100)
    url = models.CharField(max_length=2000)
    sealed_secret = models.TextField(editable=False)
    is_active = models.BooleanField(default=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    failing_since = models.DateTimeField(null=True, blank=True)
    failures = models.PositiveIntegerField(default=0, help_text="In a row.")
    quiet_until = models.DateTimeField(default=timezone.now, help_text="After failures nothing is sent until then.")

    class Meta:
        ordering = ["name", "id"]
        constraints = [models.UniqueConstraint(fields=["organization", "name"], name="events_webhook_name_in_organization")]

    def __str__(self) -> str:
        return f"{self.name} #{self.pk}"

    @property
    def host(self) -> str:
        """What may be told of the address to others than its keepers."""
        return urlsplit(self.url).hostname or ""

    @property
    def masked_url(self) -> str:
        """The address without what may be as good as a password."""
        return f"{urlsplit(self.url).scheme}://{self.host}/…"


class Subscription(models.Model):
    """What one person, or one webhook, is told of: some types, everywhere or in one organization, channel or environment."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="subscriptions")
    webhook = models.OneToOneField(Webhook, null=True, blank=True, on_delete=models.CASCADE, related_name="subscription")
    way = models.CharField(max_length=8, choices=Way.choices)
    organization = models.ForeignKey(Organization, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    channel_id = models.BigIntegerField(null=True, blank=True)
    environment_id = models.BigIntegerField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["organization", "channel_id"], name="events_subscribed_place")]
        constraints = [
            models.CheckConstraint(
                name="events_subscription_of_one",
                condition=Q(user__isnull=False, webhook__isnull=True, way__in=[Way.INBOX.value, Way.EMAIL.value])
                | Q(user__isnull=True, webhook__isnull=False, way=Way.WEBHOOK.value),
            ),
            models.CheckConstraint(
                name="events_subscription_place",
                condition=Q(channel_id__isnull=True, environment_id__isnull=True)
                | Q(organization__isnull=False, channel_id__isnull=False, environment_id__isnull=True)
                | Q(organization__isnull=False, channel_id__isnull=True, environment_id__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.way} #{self.pk}"

    @property
    def type_names(self) -> list[str]:
        return sorted(row.name for row in self.types.all())


class SubscribedType(models.Model):
    """One event type of a subscription; `*` stands for all there are and will be."""

    subscription = models.ForeignKey(Subscription, on_delete=models.CASCADE, related_name="types")
    name = models.CharField(max_length=64)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["name", "subscription"], name="events_subscribed_type_once")]

    def __str__(self) -> str:
        return "every type" if self.name == ANY_TYPE else self.name


class InboxItem(models.Model):
    """One event for one person: in the inbox, by mail, or both.

    openly: he may know because everybody may, not by a role; so the inbox goes on showing it without asking for one.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="inbox")
    event = models.ForeignKey(Event, on_delete=models.CASCADE, related_name="items")
    in_inbox = models.BooleanField(default=True)
    openly = models.BooleanField(default=False)
    mail = models.CharField(max_length=4, choices=MailState.choices, default=MailState.NONE)
    read_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["user", "event"], name="events_item_once")]
        indexes = [
            models.Index(fields=["user", "-id"], condition=Q(in_inbox=True), name="events_inbox"),
            models.Index(fields=["user"], condition=Q(mail=MailState.DUE.value), name="events_mail_due"),
        ]

    def __str__(self) -> str:
        return f"#{self.event_id} for #{self.user_id}"


class Delivery(models.Model):
    """One event on its way to one webhook, and how its last attempt ended. `number` is the receiver's id of it."""

    number = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="deliveries")
    event = models.ForeignKey(Event, on_delete=models.CASCADE, related_name="deliveries")
    by_hand = models.BooleanField(default=False, help_text="Sent again because somebody asked for it.")
    state = models.CharField(max_length=9, choices=DeliveryState.choices, default=DeliveryState.WAITING)
    attempts = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    attempted_at = models.DateTimeField(null=True, blank=True)
    next_attempt_at = models.DateTimeField(default=timezone.now)
    response_status = models.PositiveIntegerField(null=True, blank=True)
    duration_ms = models.PositiveIntegerField(null=True, blank=True)
    error = models.CharField(max_length=MAX_SENTENCE_CHARS, blank=True, default="")

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(fields=["webhook", "event"], condition=Q(by_hand=False), name="events_delivery_once"),
        ]
        indexes = [
            models.Index(fields=["next_attempt_at", "id"], condition=Q(state=DeliveryState.WAITING.value), name="events_delivery_due"),
            models.Index(fields=["created_at"], name="events_delivery_to_prune"),
        ]

    def __str__(self) -> str:
        return str(self.number)
