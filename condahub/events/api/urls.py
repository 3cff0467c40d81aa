"""The REST API's paths of events, the inbox, subscriptions and webhooks."""

from django.urls import path

from condahub.api import converters  # noqa: F401 - registers `text` and `number`
from condahub.events.api import inbox, subscriptions, webhooks

_WEBHOOKS = "organizations/<text:organization>/webhooks"
_WEBHOOK = f"{_WEBHOOKS}/<number:number>"

urlpatterns = [
    path("event-types", inbox.TypesView.as_view()),
    path("inbox", inbox.InboxView.as_view()),
    path("inbox/read", inbox.ReadView.as_view()),
    path("inbox/<number:number>", inbox.ItemView.as_view()),
    path("subscriptions", subscriptions.SubscriptionsView.as_view()),
    path("subscriptions/<number:number>", subscriptions.SubscriptionView.as_view()),
    path(_WEBHOOKS, webhooks.WebhooksView.as_view()),
    path(_WEBHOOK, webhooks.WebhookView.as_view()),
    path(f"{_WEBHOOK}/rotate", webhooks.RotateView.as_view()),
    path(f"{_WEBHOOK}/test", webhooks.TestView.as_view()),
    path(f"{_WEBHOOK}/deliveries", webhooks.DeliveriesView.as_view()),
    path(f"{_WEBHOOK}/deliveries/<number:delivery>/redeliver", webhooks.RedeliverView.as_view()),
]
