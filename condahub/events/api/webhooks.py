"""REST views of an organization's webhooks and of what was sent to them. For its owners; auditors may look."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response

from condahub.accounts.api import lookups
from condahub.accounts.models import Organization
from condahub.accounts.permissions import Permission
from condahub.accounts.policy import can
from condahub.api.views import HubView
from condahub.errors import NotFound
from condahub.events import selectors, services
from condahub.events.api import shapes
from condahub.events.api.subscriptions import place_in
from condahub.events.models import Delivery, DeliveryState, Webhook
from condahub.events.services import NewWebhook


class DeliveryFilter(django_filters.FilterSet):  # type: ignore[misc]
    state = django_filters.ChoiceFilter(choices=DeliveryState.choices, label="How far it is.")
    type = django_filters.CharFilter(field_name="event__type", label="An event type.")


class _OfOrganization(HubView):
    def organization(self, name: str) -> Organization:
        """For a change; a look needs no more than to read what was done there."""
        look = (Permission.ORGANIZATION_AUDIT,) if self.request.method in SAFE_METHODS else ()
        return lookups.organization_for(self.actor, name, Permission.ORGANIZATION_UPDATE, *look)

    def webhook(self, organization: str, number: int) -> Webhook:
        found = selectors.webhooks_of(self.organization(organization)).filter(pk=number).first()
        if found is None:
            raise NotFound("The organization has no such webhook.", code="no_such_webhook")
        return found

    def answer(self, webhook: Webhook) -> Response:
        keeps = can(self.actor, Permission.ORGANIZATION_UPDATE, webhook.organization)
        return self.shown(webhook, shapes.WebhookAnswer, names=shapes.Names([webhook.subscription]), keeps=keeps)

    def made(self, made: NewWebhook, status: int) -> Response:
        """The only answers that hold a secret."""
        shown: dict[str, Any] = shapes.WebhookAnswer(
            made.webhook, context={"names": shapes.Names([made.webhook.subscription]), "keeps": True}
        ).data
        return Response({**shown, "secret": made.secret}, status=status)


class WebhooksView(_OfOrganization):
    queryset: QuerySet[Webhook] = Webhook.objects.none()
    ordering_fields = ["id", "name", "created_at"]
    ordering = ["name"]

    @extend_schema(operation_id="webhooks_list", responses=shapes.WebhookAnswer(many=True))
    def get(self, request: Request, organization: str) -> Response:
        """The webhooks of an organization, without their secrets. For owners; for auditors without the addresses' paths."""
        found = self.organization(organization)
        page = list(self.paginate_queryset(self.filter_queryset(selectors.webhooks_of(found))) or ())
        names = shapes.Names(webhook.subscription for webhook in page)
        context = {"names": names, "keeps": can(self.actor, Permission.ORGANIZATION_UPDATE, found)}
        return self.get_paginated_response(shapes.WebhookAnswer(page, many=True, context=context).data)

    @extend_schema(operation_id="webhooks_create", request=shapes.NewWebhookRequest, responses={201: shapes.NewWebhookAnswer})
    def post(self, request: Request, organization: str) -> Response:
        """Have an address told of the organization's events. Its secret is in this answer and nowhere else. For owners.

        The address must be public, or allowed by the operator. Each delivery is a signed POST of JSON.
        """
        found = self.organization(organization)
        values = self.given(shapes.NewWebhookRequest)
        return self.made(services.create_webhook(actor=self.actor, organization=found, on=place_in(values, self.actor), **values), 201)


class WebhookView(_OfOrganization):
    @extend_schema(operation_id="webhooks_retrieve", responses=shapes.WebhookAnswer)
    def get(self, request: Request, organization: str, number: int) -> Response:
        """One webhook, without its secret. For owners; for auditors without the address's path."""
        return self.answer(self.webhook(organization, number))

    @extend_schema(operation_id="webhooks_update", request=shapes.WebhookChanges, responses=shapes.WebhookAnswer)
    def patch(self, request: Request, organization: str, number: int) -> Response:
        """Change name, address or types; pause it, or let it go on. For owners."""
        found = self.webhook(organization, number)
        return self.answer(services.update_webhook(actor=self.actor, webhook=found, **self.given(shapes.WebhookChanges)))

    @extend_schema(operation_id="webhooks_delete", responses={204: None})
    def delete(self, request: Request, organization: str, number: int) -> Response:
        """Delete a webhook with the log of its deliveries. For owners."""
        services.delete_webhook(actor=self.actor, webhook=self.webhook(organization, number))
        return Response(status=204)


class RotateView(_OfOrganization):
    @extend_schema(operation_id="webhooks_rotate", request=None, responses=shapes.NewWebhookAnswer)
    def post(self, request: Request, organization: str, number: int) -> Response:
        """A new secret, with which everything is signed from now on. For owners."""
        return self.made(services.rotate_secret(actor=self.actor, webhook=self.webhook(organization, number)), 200)


class TestView(_OfOrganization):
    @extend_schema(operation_id="webhooks_test", request=None, responses={201: shapes.DeliveryAnswer})
    def post(self, request: Request, organization: str, number: int) -> Response:
        """Send an event of the type `webhook.test` to this webhook; the deliveries show what came of it. For owners."""
        return self.shown(services.send_test(actor=self.actor, webhook=self.webhook(organization, number)), shapes.DeliveryAnswer, 201)


class DeliveriesView(_OfOrganization):
    queryset: QuerySet[Delivery] = Delivery.objects.none()
    filterset_class = DeliveryFilter
    ordering_fields = ["id", "created_at", "attempted_at"]
    ordering = ["-id"]

    @extend_schema(operation_id="webhooks_deliveries_list", responses=shapes.DeliveryAnswer(many=True))
    def get(self, request: Request, organization: str, number: int) -> Response:
        """What was sent to a webhook in the last 30 days and what came of it, the newest first. For owners and auditors."""
        rows = selectors.deliveries_of(self.webhook(organization, number))
        return self.listed(rows.select_related("event__organization"), shapes.DeliveryAnswer)


class RedeliverView(_OfOrganization):
    @extend_schema(operation_id="webhooks_redeliver", request=None, responses={201: shapes.DeliveryAnswer})
    def post(self, request: Request, organization: str, number: int, delivery: int) -> Response:
        """Send the same event again, as a delivery of its own. 409 while it is still on its way. For owners."""
        rows = selectors.deliveries_of(self.webhook(organization, number)).select_related("webhook__organization")
        found = rows.filter(pk=delivery).first()
        if found is None:
            raise NotFound("There is no such delivery.", code="no_such_delivery")
        return self.shown(services.redeliver(actor=self.actor, delivery=found), shapes.DeliveryAnswer, 201)
