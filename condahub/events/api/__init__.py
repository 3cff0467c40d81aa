"""The REST API of events: types, inbox, subscriptions, webhooks."""
