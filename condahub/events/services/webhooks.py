"""Webhooks of an organization: made, changed, tried, their secrets rotated, and what failed sent again."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from condahub import vault
from condahub.accounts.models import Organization
from condahub.accounts.permissions import AccessTarget, Permission
from condahub.accounts.policy import Actor, require
from condahub.audit.services import record
from condahub.errors import Conflict, Forbidden, Unprocessable
from condahub.events.models import Delivery, DeliveryState, Event, Subscription, Way, Webhook
from condahub.events.services.emitting import emit
from condahub.events.services.subscriptions import checked_types, set_types
from condahub.jobs.services import enqueue
from condahub.net.guard import Guard, check_url

MAX_WEBHOOKS = 20
MAX_NAME_CHARS = 100
MAX_BY_HAND = 20
SEND = "events.webhook"
PURPOSE = "webhook"
SECRET_PREFIX = "chub-hook-"  # noqa: S105 - the beginning of each, no secret
TEST = "webhook.test"


@dataclass(frozen=True)
class NewWebhook:
    """The only place where its secret is ever seen again."""

    webhook: Webhook
    secret: str


def guard() -> Guard:
    """What the operator allows besides public addresses."""
    return Guard.parse(settings.CONDAHUB_PRIVATE_NETWORKS_ALLOWED)


def create_webhook(
    *, actor: Actor, organization: Organization, name: str, url: str, types: Sequence[str], on: AccessTarget | None = None
) -> NewWebhook:
    """Have an address told of the organization's events. For owners.

    `on`: one channel or environment of the organization. Raises Forbidden, Unprocessable, AddressRefused, Conflict.
    """
    require(actor, Permission.ORGANIZATION_UPDATE, organization)
    names = checked_types(types)
    if on is not None and on.organization_id != organization.pk:
        raise Forbidden
    if organization.webhooks.count() >= MAX_WEBHOOKS:
        raise Conflict(f"An organization has at most {MAX_WEBHOOKS} webhooks.", code="too_many", hint="Delete one first.")
    check_url(url, guard())
    secret = _new_secret()
    webhook = Webhook(organization=organization, name=_checked_name(name), url=url, created_by=actor.user)
    webhook.sealed_secret = vault.seal(secret, purpose=PURPOSE)
    with transaction.atomic():
        _save(webhook)
        subscription = Subscription.objects.create(
            webhook=webhook,
            way=Way.WEBHOOK,
            organization=organization,
            channel_id=on.channel_id if on is not None else None,
            environment_id=on.environment_id if on is not None else None,
        )
        set_types(subscription, names)
        _record(actor, "webhook.create", webhook, types=names)
    return NewWebhook(webhook, secret)


def update_webhook(
    *,
    actor: Actor,
    webhook: Webhook,
    name: str | None = None,
    url: str | None = None,
    types: Sequence[str] | None = None,
    is_active: bool | None = None,
) -> Webhook:
    """Change it; making it active again forgets that it failed. For owners."""
    require(actor, Permission.ORGANIZATION_UPDATE, webhook.organization)
    names = None if types is None else checked_types(types)
    if name is not None:
        webhook.name = _checked_name(name)
    if url is not None:
        check_url(url, guard())
        webhook.url = url
    if is_active is not None:
        webhook.is_active = is_active
    # Named one by one: what the sending job writes meanwhile stays.
    fields = ["name", "url", "is_active"]
    if url is not None or is_active:
        webhook.failing_since, webhook.failures, webhook.quiet_until = None, 0, timezone.now()
        fields += ["failing_since", "failures", "quiet_until"]
    with transaction.atomic():
        _save(webhook, fields)
        if names is not None:
            set_types(webhook.subscription, names)
        changed = {"name": name, "url": url, "types": types, "is_active": is_active}
        _record(actor, "webhook.update", webhook, changed=sorted(key for key, value in changed.items() if value is not None))
    return webhook


def rotate_secret(*, actor: Actor, webhook: Webhook) -> NewWebhook:
    """A new secret; whatever is sent from now on is signed with it. For owners."""
    require(actor, Permission.ORGANIZATION_UPDATE, webhook.organization)
    secret = _new_secret()
    webhook.sealed_secret = vault.seal(secret, purpose=PURPOSE)
    with transaction.atomic():
        webhook.save(update_fields=["sealed_secret"])
        _record(actor, "webhook.rotate", webhook)
    return NewWebhook(webhook, secret)


def delete_webhook(*, actor: Actor, webhook: Webhook) -> None:
    """With its log. For owners."""
    require(actor, Permission.ORGANIZATION_UPDATE, webhook.organization)
    with transaction.atomic():
        _record(actor, "webhook.delete", webhook)
        webhook.delete()


def send_test(*, actor: Actor, webhook: Webhook) -> Delivery:
    """Send an event of the type `webhook.test` to this one. For owners."""
    require(actor, Permission.ORGANIZATION_UPDATE, webhook.organization)
    _require_active(webhook)
    with transaction.atomic():
        event = emit(type=TEST, target=webhook.organization, object_name=webhook.name, object_id=webhook.pk, actor=actor)
        assert event is not None
        # It is for this webhook alone: nobody else is looked for.
        Event.objects.filter(pk=event.pk).update(spread_at=timezone.now())
        return _sent_by_hand(webhook, event)


def redeliver(*, actor: Actor, delivery: Delivery) -> Delivery:
    """Send the same event again, with a number of its own. For owners. Conflict while it is still on its way."""
    webhook = delivery.webhook
    require(actor, Permission.ORGANIZATION_UPDATE, webhook.organization)
    _require_active(webhook)
    if Delivery.objects.filter(webhook=webhook, event=delivery.event, state=DeliveryState.WAITING).exists():
        raise Conflict("This delivery is still on its way.", code="delivery_waiting", hint="It is tried again by itself.")
    with transaction.atomic():
        _record(actor, "webhook.redeliver", webhook, delivery=str(delivery.number))
        return _sent_by_hand(webhook, delivery.event)


def send_soon() -> None:
    """Have waiting deliveries sent now."""
    enqueue(kind=SEND, payload={}, coalesce_key="webhooks", actor_label="events")


def _sent_by_hand(webhook: Webhook, event: Event) -> Delivery:
    if Delivery.objects.filter(webhook=webhook, by_hand=True, state=DeliveryState.WAITING).count() >= MAX_BY_HAND:
        raise Conflict("Too many of these wait already.", code="too_many", hint="Wait until they are sent.")
    delivery = Delivery.objects.create(webhook=webhook, event=event, by_hand=True)
    # Somebody is looking: the pause after failures is not for him.
    Webhook.objects.filter(pk=webhook.pk).update(quiet_until=timezone.now())
    transaction.on_commit(send_soon, robust=True)
    return delivery


def _require_active(webhook: Webhook) -> None:
    if not webhook.is_active:
        raise Conflict("This webhook is paused.", code="webhook_paused", hint="Make it active again first.")


def _new_secret() -> str:
    return SECRET_PREFIX + secrets.token_urlsafe(32)


def _checked_name(name: str) -> str:
    name = name.strip()
    if not name or len(name) > MAX_NAME_CHARS or not name.isprintable():
        raise Unprocessable("A webhook needs a name.", code="invalid_name", hint=f"1 to {MAX_NAME_CHARS} printable characters.")
    return name


def _save(webhook: Webhook, fields: Sequence[str] | None = None) -> None:
    try:
        with transaction.atomic():
            webhook.save(update_fields=fields)
    except IntegrityError:
        raise Conflict("The organization has a webhook of this name.", code="webhook_exists", hint="Choose another name.") from None


def _record(actor: Actor, action: str, webhook: Webhook, **details: object) -> None:
    # The host alone: the rest of the URL may be as good as a password.
    record(
        actor=actor,
        action=action,
        target=webhook.name,
        organization_id=webhook.organization_id,
        details={"host": webhook.host, **details},
    )
