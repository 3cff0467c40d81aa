"""The verbs of events: tell of what happened, and who wants to be told how."""

from condahub.events.services.emitting import emit
from condahub.events.services.inbox import mark_read
from condahub.events.services.subscriptions import subscribe, unsubscribe, update_subscription
from condahub.events.services.webhooks import (
    NewWebhook,
    create_webhook,
    delete_webhook,
    redeliver,
    rotate_secret,
    send_test,
    update_webhook,
)

__all__ = [
    "NewWebhook",
    "create_webhook",
    "delete_webhook",
    "emit",
    "mark_read",
    "redeliver",
    "rotate_secret",
    "send_test",
    "subscribe",
    "unsubscribe",
    "update_subscription",
    "update_webhook",
]
