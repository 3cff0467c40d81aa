"""REST views of channels as a whole."""

from __future__ import annotations

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from channels_app import listings, selectors, statistics
from channels_app.api import shapes
from channels_app.api.filters import ChannelFilter
from channels_app.models import Channel, ChannelKind
from channels_app.services import channels as services
from channels_app.services.virtual import create_virtual
from condahub.accounts.permissions import Permission
from condahub.api.permissions import Anybody
from condahub.api.probing import ProbeThrottle
from condahub.api.views import HubView


class ChannelsView(HubView):
    queryset: QuerySet[Channel] = Channel.objects.none()
    permission_classes = [Anybody]
    throttle_classes = [ProbeThrottle]
    filterset_class = ChannelFilter
    ordering_fields = ["name", "created_at", "used_bytes"]
    ordering = ["name"]

    @extend_schema(operation_id="channels_list", responses=shapes.ChannelAnswer(many=True))
    def get(self, request: Request) -> Response:
        """The channels that the asker may read; without a token the public ones."""
        return self.listed(listings.channels_listed(self.actor), shapes.ChannelAnswer)

    @extend_schema(operation_id="channels_create", request=shapes.NewChannel, responses={201: shapes.ChannelAnswer})
    def post(self, request: Request) -> Response:
        """Make a channel. A taken, a reserved and a retired name answer alike: 409 `name_unavailable`."""
        values = self.given(shapes.NewChannel)
        organization = listings.organization_to_create_in(self.actor, values.pop("organization", ""))
        members = values.pop("members", [])
        if values.get("kind") == ChannelKind.VIRTUAL or members:
            channel = create_virtual(actor=self.actor, organization=organization, members=members, **values)
        else:
            channel = services.create_channel(actor=self.actor, organization=organization, **values)
        return self.shown(channel, shapes.ChannelAnswer, 201)


class ChannelView(HubView):
    permission_classes = [Anybody]

    @extend_schema(operation_id="channels_retrieve", responses=shapes.ChannelAnswer)
    def get(self, request: Request, channel: str) -> Response:
        """One channel, also by a name that it had before."""
        return self.shown(selectors.channel_for(self.actor, channel, Permission.CHANNEL_READ), shapes.ChannelAnswer)

    @extend_schema(operation_id="channels_update", request=shapes.ChannelSettings, responses=shapes.ChannelAnswer)
    def patch(self, request: Request, channel: str) -> Response:
        """Change settings. Quotas are for IT staff; public and internal channels may be forbidden on this hub."""
        found = selectors.channel_for(self.actor, channel, Permission.CHANNEL_UPDATE)
        changed = services.update_channel(actor=self.actor, channel=found, changes=self.given(shapes.ChannelSettings))
        return self.shown(changed, shapes.ChannelAnswer)

    @extend_schema(operation_id="channels_delete", responses={204: None})
    def delete(self, request: Request, channel: str) -> Response:
        """Close a channel. It can be restored until its grace period ends; its name stays its organization's."""
        services.delete_channel(actor=self.actor, channel=selectors.channel_for(self.actor, channel, Permission.CHANNEL_DELETE))
        return Response(status=204)


class RenameView(HubView):
    throttle_classes = [ProbeThrottle]

    @extend_schema(operation_id="channels_rename", request=shapes.NewName, responses=shapes.ChannelAnswer)
    def post(self, request: Request, channel: str) -> Response:
        """Give a channel another name. The old one goes on answering, with a notice to its users."""
        found = selectors.channel_for(self.actor, channel, Permission.CHANNEL_DELETE)
        return self.shown(services.rename_channel(actor=self.actor, channel=found, **self.given(shapes.NewName)), shapes.ChannelAnswer)


class RestoreView(HubView):
    @extend_schema(operation_id="channels_restore", request=None, responses=shapes.ChannelAnswer)
    def post(self, request: Request, channel: str) -> Response:
        """Bring back a deleted channel within its grace period."""
        return self.shown(services.restore_channel(actor=self.actor, name=channel), shapes.ChannelAnswer)


class DownloadsView(HubView):
    permission_classes = [Anybody]
    pagination_class = None

    @extend_schema(operation_id="channels_downloads", parameters=[shapes.DownloadsQuery], responses=shapes.DownloadsAnswer)
    def get(self, request: Request, channel: str) -> Response:
        """How often the channel's files were downloaded, by day, month or year; the last 30 days unless said."""
        found = selectors.channel_for(self.actor, channel, Permission.CHANNEL_READ)
        asked = self.asked(shapes.DownloadsQuery)
        return self.shown(statistics.downloads(found, **{**asked, "period": statistics.Period(asked["period"])}), shapes.DownloadsAnswer)
