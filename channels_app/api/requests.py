"""REST views of requests for packages: ask, look, approve, refuse."""

from __future__ import annotations

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from channels_app import selectors, showing
from channels_app.api import policy_shapes as shapes
from channels_app.models import Missing, PackageRequest, RequestState
from channels_app.services import requests
from condahub.accounts.permissions import Permission
from condahub.api.views import HubView


class RequestFilter(django_filters.FilterSet):  # type: ignore[misc]
    state = django_filters.ChoiceFilter(choices=RequestState.choices, label="Whether it was answered, and how.")
    missing = django_filters.ChoiceFilter(choices=Missing.choices, label="Why the package is not there.")
    channel = django_filters.CharFilter(field_name="channel__name", label="Where it is missed.")


class _Listing(HubView):
    queryset: QuerySet[PackageRequest] = PackageRequest.objects.none()
    filterset_class = RequestFilter
    ordering_fields = ["asked_at", "answered_at", "id"]
    ordering = ["-id"]


class RequestsView(_Listing):
    @extend_schema(operation_id="requests_list", responses=shapes.RequestAnswer(many=True))
    def get(self, request: Request) -> Response:
        """What one asked for oneself, and what waits for one's answer."""
        return self.listed(showing.requests_seen_by(self.actor), shapes.RequestAnswer)


class ChannelRequestsView(_Listing):
    @extend_schema(operation_id="channels_requests_list", responses=shapes.RequestAnswer(many=True))
    def get(self, request: Request, channel: str) -> Response:
        """The same for one channel."""
        found = selectors.channel_for(self.actor, channel, Permission.CHANNEL_READ)
        return self.listed(showing.requests_seen_by(self.actor).filter(channel=found), shapes.RequestAnswer)

    @extend_schema(
        operation_id="channels_requests_create",
        request=shapes.NewRequest,
        responses={200: shapes.RequestAnswer, 201: shapes.RequestAnswer},
    )
    def post(self, request: Request, channel: str) -> Response:
        """Ask for a package that the channel does not show. The same again, while it waits, gives the same request (200)."""
        found = selectors.channel_for(self.actor, channel, Permission.CHANNEL_READ)
        made, is_new = requests.ask(actor=self.actor, channel=found, **self.given(shapes.NewRequest))
        return self.shown(made, shapes.RequestAnswer, 201 if is_new else 200)


class RequestView(HubView):
    @extend_schema(operation_id="requests_retrieve", responses=shapes.RequestAnswer)
    def get(self, request: Request, number: int) -> Response:
        """One request, with its answer."""
        return self.shown(showing.request_for(self.actor, number), shapes.RequestAnswer)


class ApproveView(HubView):
    @extend_schema(operation_id="requests_approve", request=shapes.Approval, responses=shapes.RequestAnswer)
    def post(self, request: Request, number: int) -> Response:
        """Let it in until a time. For the keepers of all rules that keep it back."""
        found = showing.request_for(self.actor, number)
        return self.shown(requests.approve(actor=self.actor, request=found, **self.given(shapes.Approval)), shapes.RequestAnswer)


class RefuseView(HubView):
    @extend_schema(operation_id="requests_refuse", request=shapes.Refusal, responses=shapes.RequestAnswer)
    def post(self, request: Request, number: int) -> Response:
        """Say no, with a sentence for whoever asked."""
        found = showing.request_for(self.actor, number)
        return self.shown(requests.refuse(actor=self.actor, request=found, **self.given(shapes.Refusal)), shapes.RequestAnswer)
