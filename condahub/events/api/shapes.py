"""What the REST API of events takes and answers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rest_framework import serializers

from condahub.accounts import places
from condahub.api.fields import MAX_INTEGER, Answer, HubSerializer, Text, TrueOrFalse, WholeNumber
from condahub.events.models import DeliveryState, Subscription, Way, Webhook
from condahub.events.types import Severity

MAX_TYPES = 100
MAX_ITEMS = 1000
SEVERITIES = [(one.value, one.value) for one in Severity]
PERSONAL_WAYS = [(Way.INBOX.value, Way.INBOX.label), (Way.EMAIL.value, Way.EMAIL.label)]


class TypeAnswer(Answer):
    name = serializers.CharField()
    object_type = serializers.CharField()
    severity = serializers.ChoiceField(SEVERITIES)
    description = serializers.CharField()
    permission = serializers.CharField(source="needed", help_text="What one must be allowed on the object to hear of it.")
    unasked = serializers.CharField(allow_null=True, help_text="Who holds this there finds it in the inbox without having subscribed.")


class EventObject(Answer):
    type = serializers.CharField(source="object_type")
    id = serializers.IntegerField(source="object_id", allow_null=True)
    name = serializers.CharField(source="object_name")


class HubEventAnswer(Answer):
    id = serializers.IntegerField()
    type = serializers.CharField()
    severity = serializers.ChoiceField(SEVERITIES)
    at = serializers.DateTimeField()
    sentence = serializers.CharField()
    organization = serializers.CharField(source="organization.name", allow_null=True, default=None)
    object = EventObject(source="*")
    actor = serializers.CharField(source="actor_label", allow_blank=True)
    payload = serializers.DictField()


class ItemAnswer(Answer):
    id = serializers.IntegerField()
    read_at = serializers.DateTimeField(allow_null=True)
    event = HubEventAnswer()


class ItemChanges(HubSerializer):
    read = TrueOrFalse()


class ReadRequest(HubSerializer):
    items = serializers.ListField(
        child=WholeNumber(max_value=MAX_INTEGER), required=False, max_length=MAX_ITEMS, help_text="Their ids; all items unless given."
    )


class ReadAnswer(Answer):
    changed = serializers.IntegerField()
    unread = serializers.IntegerField()


class TypesField(serializers.ListField):
    """Names of event types; `*` for all."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(child=Text(max_length=64), min_length=1, max_length=MAX_TYPES, **kwargs)


class SubscriptionAnswer(Answer):
    """`names` in the context."""

    id = serializers.IntegerField()
    types = serializers.ListField(child=serializers.CharField(), source="type_names")
    way = serializers.ChoiceField(PERSONAL_WAYS)
    organization = serializers.CharField(source="organization.name", allow_null=True, default=None)
    channel = serializers.SerializerMethodField()
    environment = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()

    def get_channel(self, row: Subscription) -> str | None:
        return _names(self).channel_of(row)

    def get_environment(self, row: Subscription) -> str | None:
        return _names(self).environment_of(row)


class NewSubscription(HubSerializer):
    """Everywhere unless an organization, a channel or an environment is named."""

    types = TypesField()
    way = serializers.ChoiceField(PERSONAL_WAYS, default=Way.INBOX.value)
    organization = Text(required=False, max_length=64)
    channel = Text(required=False, max_length=64)
    environment = Text(required=False, max_length=200)

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        if len({"organization", "channel", "environment"} & set(values)) > 1:
            raise serializers.ValidationError("Name one organization, one channel or one environment.")
        return values


class SubscriptionChanges(HubSerializer):
    types = TypesField(required=False)
    way = serializers.ChoiceField(PERSONAL_WAYS, required=False)


class WebhookAnswer(Answer):
    """`names` in the context; `keeps`: whether who asks may change webhooks, and so may know the whole address."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    url = serializers.SerializerMethodField(help_text="For auditors the host alone: the rest may be as good as a password.")
    types = serializers.ListField(child=serializers.CharField(), source="subscription.type_names")
    channel = serializers.SerializerMethodField()
    environment = serializers.SerializerMethodField()
    is_active = serializers.BooleanField()
    failing_since = serializers.DateTimeField(allow_null=True, help_text="null: the last delivery was taken.")
    created_by = serializers.CharField(source="created_by.username", allow_null=True, default=None)
    created_at = serializers.DateTimeField()

    def get_url(self, webhook: Webhook) -> str:
        return webhook.url if self.context["keeps"] else webhook.masked_url

    def get_channel(self, webhook: Webhook) -> str | None:
        return _names(self).channel_of(webhook.subscription)

    def get_environment(self, webhook: Webhook) -> str | None:
        return _names(self).environment_of(webhook.subscription)


class NewWebhookAnswer(WebhookAnswer):
    secret = serializers.CharField(help_text="What deliveries are signed with. It is shown this once.")


class NewWebhookRequest(HubSerializer):
    """Of everything in the organization unless a channel or an environment is named."""

    name = Text(max_length=100)
    url = Text(max_length=2000)
    types = TypesField()
    channel = Text(required=False, max_length=64)
    environment = Text(required=False, max_length=200)

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        if {"channel", "environment"} <= set(values):
            raise serializers.ValidationError("Name one channel or one environment.")
        return values


class WebhookChanges(HubSerializer):
    name = Text(required=False, max_length=100)
    url = Text(required=False, max_length=2000)
    types = TypesField(required=False)
    is_active = TrueOrFalse(required=False)


class DeliveryAnswer(Answer):
    id = serializers.IntegerField()
    number = serializers.UUIDField(help_text="What the receiver is sent as X-Condahub-Delivery.")
    event = HubEventAnswer()
    by_hand = serializers.BooleanField()
    state = serializers.ChoiceField(DeliveryState.choices)
    attempts = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    attempted_at = serializers.DateTimeField(allow_null=True)
    next_attempt_at = serializers.SerializerMethodField(help_text="null: there is none.")
    response_status = serializers.IntegerField(allow_null=True)
    duration_ms = serializers.IntegerField(allow_null=True)
    error = serializers.CharField(allow_blank=True)

    def get_next_attempt_at(self, row: Any) -> str | None:
        return row.next_attempt_at.isoformat() if row.state == DeliveryState.WAITING else None


class Names:
    """Names for the ids in a page of subscriptions, read with one query a kind."""

    def __init__(self, rows: Iterable[Subscription]) -> None:
        rows = list(rows)
        self._channels = places.names_of(places.CHANNEL, [row.channel_id for row in rows])
        self._environments = places.names_of(places.ENVIRONMENT, [row.environment_id for row in rows])

    def channel_of(self, row: Subscription) -> str | None:
        return None if row.channel_id is None else self._channels.get(row.channel_id, f"#{row.channel_id}")

    def environment_of(self, row: Subscription) -> str | None:
        return None if row.environment_id is None else self._environments.get(row.environment_id, f"#{row.environment_id}")


def _names(shape: serializers.BaseSerializer[Any]) -> Names:
    names: Names = shape.context["names"]
    return names
