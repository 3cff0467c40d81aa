"""REST views of a channel's packages, and search over all channels."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from channels_app import listings, selectors
from channels_app.api import shapes
from channels_app.api.filters import PackageFilter
from channels_app.models import Channel, Package
from condahub.accounts.permissions import Permission
from condahub.api.permissions import Anybody
from condahub.api.views import HubView


class PackagesView(HubView):
    queryset: QuerySet[Package] = Package.objects.none()
    permission_classes = [Anybody]
    filterset_class = PackageFilter
    ordering_fields = ["name", "updated_at", "files_count"]
    ordering = ["name"]

    @extend_schema(operation_id="packages_list", responses=shapes.PackageAnswer(many=True))
    def get(self, request: Request, channel: str) -> Response:
        """The packages of a channel."""
        found = selectors.channel_for(self.actor, channel, Permission.CHANNEL_READ)
        return self.listed(listings.packages_of(self.actor, found), shapes.PackageAnswer)


class PackageView(HubView):
    permission_classes = [Anybody]

    @extend_schema(operation_id="packages_retrieve", responses=shapes.PackageDetail)
    def get(self, request: Request, channel: str, package: str) -> Response:
        """One package of a channel, with its description and versions."""
        found = selectors.channel_for(self.actor, channel, Permission.CHANNEL_READ)
        return self.shown(listings.package_of(self.actor, found, package), shapes.PackageDetail)


class SearchView(HubView):
    # Two kinds of rows in one order: there is no model whose filters or columns could be offered.
    queryset: QuerySet[Any] = Channel.objects.none()
    permission_classes = [Anybody]
    filter_backends = []

    @extend_schema(operation_id="search_list", parameters=[shapes.SearchQuery], responses=shapes.FoundAnswer(many=True))
    def get(self, request: Request) -> Response:
        """Channels and packages whose name or summary holds the text, of those that the asker may see."""
        return self.listed(listings.search(self.actor, self.asked_alone("q")), shapes.FoundAnswer)

    def asked_alone(self, parameter: str) -> str:
        """One parameter of the query, without those of paging."""
        query = shapes.SearchQuery(data={parameter: self.request.query_params.get(parameter, "")})
        query.is_valid(raise_exception=True)
        return str(query.validated_data[parameter])
