"""REST views of virtual channels: members, whose a name is, reserved names, and what is shared into them."""

from __future__ import annotations

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from channels_app import selectors
from channels_app.api import virtual_shapes as shapes
from channels_app.models import Package, ReservedName
from channels_app.services import virtual as services
from channels_app.virtual import reads
from condahub.accounts.permissions import Permission
from condahub.accounts.policy import reads_all
from condahub.api.permissions import Anybody
from condahub.api.views import HubView


class UnionView(HubView):
    permission_classes = [Anybody]
    pagination_class = None

    @extend_schema(operation_id="union_retrieve", responses=shapes.UnionAnswer)
    def get(self, request: Request, channel: str) -> Response:
        """What a virtual channel is made of, the highest member first."""
        return self.shown(reads.union_of(self.actor, reads.virtual_for(self.actor, channel)), shapes.UnionAnswer)

    @extend_schema(operation_id="union_update", request=shapes.MembersBody, responses=shapes.UnionAnswer)
    def put(self, request: Request, channel: str) -> Response:
        """Put these members, in this order, in place of those that there are. A member that fewer may read takes its owner's word."""
        found = selectors.channel_for(self.actor, channel, Permission.CHANNEL_UPDATE)
        services.set_members(actor=self.actor, channel=found, **self.given(shapes.MembersBody))
        found.refresh_from_db(fields=["head"])
        return self.shown(reads.union_of(self.actor, found), shapes.UnionAnswer)


class UnionNameView(HubView):
    permission_classes = [Anybody]
    pagination_class = None

    @extend_schema(operation_id="union_names_retrieve", responses=shapes.NameAnswer)
    def get(self, request: Request, channel: str, name: str) -> Response:
        """Which member a package name belongs to, and why."""
        return self.shown(reads.explain(self.actor, reads.virtual_for(self.actor, channel), name), shapes.NameAnswer)

    @extend_schema(operation_id="union_names_update", request=shapes.NameBody, responses=shapes.NameAnswer)
    def put(self, request: Request, channel: str, name: str) -> Response:
        """Merge a name's files of all members that hold it, or show those of its owner alone again."""
        found = selectors.channel_for(self.actor, channel, Permission.CHANNEL_UPDATE)
        values = self.given(shapes.NameBody)
        if values["merged"]:
            services.allow_name(actor=self.actor, channel=found, name=name, reason=values.get("reason", ""))
        else:
            services.disallow_name(actor=self.actor, channel=found, name=name)
        found.refresh_from_db(fields=["head"])
        return self.shown(reads.explain(self.actor, found, name), shapes.NameAnswer)


class UnionConflictsView(HubView):
    queryset: QuerySet[Package] = Package.objects.none()
    ordering_fields = ["name"]
    ordering = ["name"]

    @extend_schema(operation_id="union_conflicts_list", responses=shapes.ConflictAnswer(many=True))
    def get(self, request: Request, channel: str) -> Response:
        """The names that several members hold; each belongs to the highest of them."""
        found = reads.virtual_for(self.actor, channel)
        return self.listed(reads.conflicts_of(self.actor, found), shapes.ConflictAnswer)


class UnionReservationsView(HubView):
    queryset: QuerySet[ReservedName] = ReservedName.objects.none()
    ordering_fields = ["pattern"]
    ordering = ["pattern"]

    @extend_schema(operation_id="union_reservations_list", responses=shapes.ReservationAnswer(many=True))
    def get(self, request: Request, channel: str) -> Response:
        """Names that are reserved for a member, or kept from all; for those who arrange the channel, and auditors."""
        found = selectors.channel_for(self.actor, channel, Permission.CHANNEL_READ if reads_all(self.actor) else Permission.CHANNEL_UPDATE)
        reads.require_virtual(found)
        return self.listed(reads.reservations_of(found), shapes.ReservationAnswer)

    @extend_schema(operation_id="union_reservations_create", request=shapes.ReservationsBody, responses={204: None})
    def post(self, request: Request, channel: str) -> Response:
        """Reserve names for a member before it holds them, or for nobody."""
        found = selectors.channel_for(self.actor, channel, Permission.CHANNEL_UPDATE)
        values = self.given(shapes.ReservationsBody)
        services.reserve(actor=self.actor, channel=found, patterns=values.pop("names"), **values)
        return Response(status=204)


class UnionReleaseView(HubView):
    @extend_schema(operation_id="union_reservations_release", request=shapes.ReleaseNamesBody, responses={204: None})
    def post(self, request: Request, channel: str) -> Response:
        """End reservations: each name then belongs to the highest member that ever held it."""
        found = selectors.channel_for(self.actor, channel, Permission.CHANNEL_UPDATE)
        services.release(actor=self.actor, channel=found, patterns=self.given(shapes.ReleaseNamesBody)["names"])
        return Response(status=204)


class ShownInView(HubView):
    pagination_class = None
    filter_backends = []

    @extend_schema(operation_id="shown_in_list", responses=shapes.ShownInAnswer(many=True))
    def get(self, request: Request, channel: str) -> Response:
        """The virtual channels that show this channel, of those that the asker may know."""
        found = selectors.channel_for(self.actor, channel, Permission.CHANNEL_READ)
        return Response(shapes.ShownInAnswer(reads.shown_in(self.actor, found), many=True).data)


class SharedView(HubView):
    @extend_schema(operation_id="shown_in_share", request=None, responses={204: None})
    def put(self, request: Request, channel: str, virtual: str) -> Response:
        """Let every reader of that virtual channel have this channel's packages through it; for this channel's owners."""
        return self._set(channel, virtual, is_shared=True)

    @extend_schema(operation_id="shown_in_revoke", responses={204: None})
    def delete(self, request: Request, channel: str, virtual: str) -> Response:
        """Take that back; it acts within seconds."""
        return self._set(channel, virtual, is_shared=False)

    def _set(self, channel: str, virtual: str, *, is_shared: bool) -> Response:
        member = selectors.channel_for(self.actor, channel, Permission.CHANNEL_REDISTRIBUTE)
        verb = services.share_member if is_shared else services.unshare_member
        verb(actor=self.actor, member=member, virtual=virtual)
        return Response(status=204)
