"""REST view of who may read a channel and by what, now or at the end of a day."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from channels_app import selectors
from channels_app.api import shapes
from channels_app.readers import readers_of
from condahub.accounts.access import end_of
from condahub.accounts.permissions import Permission
from condahub.accounts.policy import require
from condahub.api.views import HubView


class ReadersView(HubView):
    pagination_class = None

    @extend_schema(operation_id="channels_readers", parameters=[shapes.ReadersQuery], responses=shapes.ReadersAnswer)
    def get(self, request: Request, channel: str) -> Response:
        """Everybody who may, or at the end of a day could, read the channel by a role, and by which. For owners and auditors."""
        found = selectors.channel_for(self.actor, channel, Permission.CHANNEL_READ)
        require(self.actor, Permission.ORGANIZATION_AUDIT, found.organization)
        day = self.asked(shapes.ReadersQuery)["on"]
        told = readers_of(self.actor, found, end_of(day))
        people = [{"username": name, "ways": ways} for name, ways in told.people.items()]
        answer = {"visibility": told.visibility, "people": people, "teams_elsewhere": told.teams_elsewhere, "also_of": told.also_of}
        return self.shown({"on": day, **answer}, shapes.ReadersAnswer)
