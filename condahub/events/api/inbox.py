"""REST views of the event types there are, and of one's own inbox."""

from __future__ import annotations

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from condahub.api.views import HubView
from condahub.errors import Forbidden
from condahub.events import selectors, services
from condahub.events.api import shapes
from condahub.events.models import InboxItem
from condahub.events.types import known_types


class InboxFilter(django_filters.FilterSet):  # type: ignore[misc]
    unread = django_filters.BooleanFilter(field_name="read_at", lookup_expr="isnull", label="Only what was not read yet, or was.")
    type = django_filters.CharFilter(field_name="event__type", label="An event type, such as mirror.failed.")
    severity = django_filters.ChoiceFilter(field_name="event__severity", choices=shapes.SEVERITIES, label="How grave it is.")
    organization = django_filters.CharFilter(field_name="event__organization__name", label="Whose object it is.")


class TypesView(HubView):
    pagination_class = None
    filter_backends = []

    @extend_schema(operation_id="event_types_list", responses=shapes.TypeAnswer(many=True))
    def get(self, request: Request) -> Response:
        """Every type of event that one can be told of."""
        return Response(shapes.TypeAnswer(known_types(), many=True).data)


class InboxView(HubView):
    queryset: QuerySet[InboxItem] = InboxItem.objects.none()
    filterset_class = InboxFilter
    ordering_fields = ["id", "read_at"]
    ordering = ["-id"]

    @extend_schema(operation_id="inbox_list", responses=shapes.ItemAnswer(many=True))
    def get(self, request: Request) -> Response:
        """What one was told, the newest first; what one may not read any more is left out."""
        return self.listed(selectors.inbox_of(self.actor), shapes.ItemAnswer)


class ReadView(HubView):
    pagination_class = None

    @extend_schema(operation_id="inbox_read", request=shapes.ReadRequest, responses=shapes.ReadAnswer)
    def post(self, request: Request) -> Response:
        """Mark items as read: those named, or all."""
        changed = services.mark_read(actor=self.actor, ids=self.given(shapes.ReadRequest).get("items"))
        unread = selectors.inbox_of(self.actor).filter(read_at__isnull=True).count()
        return self.shown({"changed": changed, "unread": unread}, shapes.ReadAnswer)


class ItemView(HubView):
    @extend_schema(operation_id="inbox_update", request=shapes.ItemChanges, responses=shapes.ItemAnswer)
    def patch(self, request: Request, number: int) -> Response:
        """Mark one item as read, or as not."""
        services.mark_read(actor=self.actor, ids=[number], read=self.given(shapes.ItemChanges)["read"])
        item = selectors.inbox_of(self.actor).filter(pk=number).first()
        if item is None:
            # Somebody else's and nobody's answer alike.
            raise Forbidden
        return self.shown(item, shapes.ItemAnswer)
