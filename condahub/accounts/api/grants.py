"""REST views of an organization's grants: on itself, its channels, package names and environments."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from condahub.accounts import places, selectors, services
from condahub.accounts.api import lookups, shapes
from condahub.accounts.api.filters import GrantFilter
from condahub.accounts.models import Grant, Organization
from condahub.accounts.permissions import MEMBERS_PERMISSION, AccessTarget, Permission
from condahub.accounts.policy import require
from condahub.api.views import HubView
from condahub.errors import Unprocessable


class GrantsView(HubView):
    queryset: QuerySet[Grant] = Grant.objects.none()
    filterset_class = GrantFilter
    ordering_fields = ["id", "created_at", "role"]
    ordering = ["id"]

    @extend_schema(
        operation_id="grants_list",
        parameters=[
            OpenApiParameter("channel", str, description="Only those on this channel."),
            OpenApiParameter("package", str, description="Only those on this package name of the channel."),
        ],
        responses=shapes.GrantAnswer(many=True),
    )
    def get(self, request: Request, organization: str) -> Response:
        """The grants in an organization, or those on one channel of it. For who may list its members."""
        rows = self.paginate_queryset(self.filter_queryset(self.rows(organization)))
        names = shapes.PlaceNames(rows or ())
        return self.get_paginated_response(shapes.GrantAnswer(rows, many=True, context={"names": names}).data)

    def rows(self, organization: str) -> QuerySet[Grant]:
        asked = {key: self.request.query_params[key] for key in ("channel", "package") if self.request.query_params.get(key)}
        found = lookups.organization_for(self.actor, organization)
        if asked:
            return selectors.grants_on(self.actor, self.place(found, asked))
        require(self.actor, Permission.MEMBER_READ, found)
        return Grant.objects.filter(organization=found).select_related("user", "team")

    @extend_schema(operation_id="grants_create", request=shapes.NewGrant, responses={201: shapes.GrantAnswer})
    def post(self, request: Request, organization: str) -> Response:
        """Give a user or a team a role; one that it holds there already is replaced. For who may change members there."""
        found = lookups.organization_for(self.actor, organization)
        values = self.given(shapes.NewGrant)
        target = self.place(found, values)
        require(self.actor, MEMBERS_PERMISSION[target.level], target)
        user = selectors.user_for_grant(self.actor, values["user"], target) if "user" in values else None
        team = found.teams.filter(slug=values["team"]).first() if "team" in values else None
        if user is None and team is None:
            raise Unprocessable("There is no such team.", code="no_such_team", hint="Name a team of this organization.")
        name = "/".join(values[key] for key in ("channel", "package", "environment") if key in values)
        grant = services.grant(actor=self.actor, on=target, role=values["role"], user=user, team=team, object_name=name)
        return self.shown(grant, shapes.GrantAnswer, 201, names=shapes.PlaceNames([grant]))

    def place(self, organization: Organization, values: dict[str, Any]) -> AccessTarget:
        """What a request names, which lies in this organization. Raises NotAuthenticated, Forbidden."""
        kind = next((kind for kind in (places.CHANNEL, places.ENVIRONMENT) if kind in values), "")
        if not kind:
            return organization.access_target
        target = places.find(kind, self.actor, values[kind])
        if target.organization_id != organization.pk:
            raise lookups.refused(self.actor)
        return replace(target, package_name=values["package"]) if "package" in values else target


class GrantView(HubView):
    @extend_schema(operation_id="grants_delete", responses={204: None})
    def delete(self, request: Request, organization: str, number: int) -> Response:
        """Take a role away; everybody may give up their own. The last owner stays (409)."""
        found = lookups.organization_for(self.actor, organization)
        grant = lookups.grant_of(self.actor, found, number)
        names = shapes.PlaceNames([grant])
        name = names.channels.get(grant.channel_id or 0, "") or names.environments.get(grant.environment_id or 0, "")
        services.revoke_grant(actor=self.actor, grant=grant, object_name=name)
        return Response(status=204)
