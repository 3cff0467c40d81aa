"""The admin's lists of events and of how they were told, to look at. A webhook's address and secret are for its organization."""

from __future__ import annotations

from django.contrib import admin
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from condahub.adminsite.base import LookOnly
from condahub.events.models import Delivery, Event, Subscription, Webhook


@admin.register(Event)
class EventAdmin(LookOnly):
    list_display = ["at", "type", "severity", "organization", "sentence", "spread_at"]
    list_filter = ["severity", "type", ("organization", AutocompleteSelectFilter)]
    list_filter_submit = True
    list_select_related = ["organization"]
    search_fields = ["object_name", "sentence", "actor_label"]
    date_hierarchy = "at"


@admin.register(Webhook)
class WebhookAdmin(LookOnly):
    list_display = ["name", "organization", "host", "is_active", "failing_since", "failures", "created_at"]
    list_filter = ["is_active", ("organization", AutocompleteSelectFilter)]
    list_filter_submit = True
    list_select_related = ["organization"]
    search_fields = ["name", "organization__name"]
    exclude = ["url", "sealed_secret"]


@admin.register(Delivery)
class DeliveryAdmin(LookOnly):
    list_display = ["created_at", "webhook", "event", "state", "attempts", "response_status", "duration_ms", "error", "next_attempt_at"]
    list_filter = ["state", ("webhook", AutocompleteSelectFilter)]
    list_filter_submit = True
    list_select_related = ["webhook", "event"]
    search_fields = ["number", "error"]
    date_hierarchy = "created_at"


@admin.register(Subscription)
class SubscriptionAdmin(LookOnly):
    list_display = ["user", "webhook", "way", "organization", "channel_id", "environment_id", "created_at"]
    list_filter = ["way"]
    list_select_related = ["user", "webhook", "organization"]
    search_fields = ["user__username"]
