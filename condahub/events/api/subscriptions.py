"""REST views of what one asks to be told of."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from condahub.accounts import places
from condahub.accounts.api import lookups
from condahub.accounts.permissions import AccessTarget
from condahub.accounts.policy import Actor
from condahub.api.views import HubView
from condahub.errors import Forbidden
from condahub.events import selectors, services
from condahub.events.api import shapes
from condahub.events.models import Subscription
from condahub.events.services.inbox import require_whole


def place_in(values: dict[str, Any], actor: Actor) -> AccessTarget | None:
    """Take the name of a place out of a body; None for everywhere. Raises Forbidden for what the actor may not read."""
    target = None
    for kind in (places.CHANNEL, places.ENVIRONMENT):
        name = values.pop(kind, None)
        if name is not None:
            target = places.find(kind, actor, name)
    organization = values.pop("organization", None)
    return target if organization is None else lookups.organization_for(actor, organization).access_target


class SubscriptionsView(HubView):
    queryset: QuerySet[Subscription] = Subscription.objects.none()
    ordering_fields = ["id", "created_at"]
    ordering = ["id"]

    @extend_schema(operation_id="subscriptions_list", responses=shapes.SubscriptionAnswer(many=True))
    def get(self, request: Request) -> Response:
        """One's own subscriptions."""
        require_whole(self.actor)
        page = list(self.paginate_queryset(self.filter_queryset(selectors.subscriptions_of(self.actor))) or ())
        return self.get_paginated_response(shapes.SubscriptionAnswer(page, many=True, context={"names": shapes.Names(page)}).data)

    @extend_schema(operation_id="subscriptions_create", request=shapes.NewSubscription, responses={201: shapes.SubscriptionAnswer})
    def post(self, request: Request) -> Response:
        """Ask to be told of events, by inbox or e-mail: as long as one may read what they are of."""
        values = self.given(shapes.NewSubscription)
        require_whole(self.actor)
        made = services.subscribe(actor=self.actor, on=place_in(values, self.actor), **values)
        return self.shown(made, shapes.SubscriptionAnswer, 201, names=shapes.Names([made]))


class SubscriptionView(HubView):
    def subscription(self, number: int) -> Subscription:
        require_whole(self.actor)
        found = selectors.subscriptions_of(self.actor).filter(pk=number).first()
        if found is None:
            # Somebody else's and nobody's answer alike.
            raise Forbidden
        return found

    @extend_schema(operation_id="subscriptions_retrieve", responses=shapes.SubscriptionAnswer)
    def get(self, request: Request, number: int) -> Response:
        """One of one's own subscriptions."""
        found = self.subscription(number)
        return self.shown(found, shapes.SubscriptionAnswer, names=shapes.Names([found]))

    @extend_schema(operation_id="subscriptions_update", request=shapes.SubscriptionChanges, responses=shapes.SubscriptionAnswer)
    def patch(self, request: Request, number: int) -> Response:
        """Change the types or the way."""
        found = self.subscription(number)
        changed = services.update_subscription(actor=self.actor, subscription=found, **self.given(shapes.SubscriptionChanges))
        return self.shown(changed, shapes.SubscriptionAnswer, names=shapes.Names([changed]))

    @extend_schema(operation_id="subscriptions_delete", responses={204: None})
    def delete(self, request: Request, number: int) -> Response:
        """Be told no more."""
        services.unsubscribe(actor=self.actor, subscription=self.subscription(number))
        return Response(status=204)
