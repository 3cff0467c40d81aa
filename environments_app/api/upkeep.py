"""REST views of roles on environments, retention, scheduled rebuilds, and what an advisory is about."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from condahub.accounts.models import Grant, Organization
from condahub.accounts.permissions import Permission
from condahub.api.permissions import Anybody
from condahub.api.views import HubView
from environments_app import selectors
from environments_app.affected import affected
from environments_app.api import shapes, upkeep_shapes
from environments_app.models import BuildPackage, Environment
from environments_app.services import members, retention, schedules


class AffectedView(HubView):
    queryset: QuerySet[BuildPackage] = BuildPackage.objects.none()
    filter_backends = []

    @extend_schema(
        operation_id="environments_affected", parameters=[upkeep_shapes.AffectedQuery], responses=shapes.HoldingAnswer(many=True)
    )
    def get(self, request: Request) -> Response:
        """Which environments hold what a loaded advisory affects: `?advisory=CVE-2023-0286`; those that the asker may see."""
        given = {key: request.query_params[key] for key in ("advisory", "all_builds") if key in request.query_params}
        query = upkeep_shapes.AffectedQuery(data=given)
        query.is_valid(raise_exception=True)
        found = affected(self.actor, query.validated_data["advisory"], all_builds=query.validated_data["all_builds"])
        order = ("build__environment__organization__name", "build__environment__name", "build__number", "platform", "pk")
        return self.listed(found.order_by(*order), shapes.HoldingAnswer)


class GrantsView(HubView):
    queryset: QuerySet[Grant] = Grant.objects.none()
    ordering_fields = ["id", "role"]
    ordering = ["id"]

    @extend_schema(operation_id="environment_grants_list", responses=upkeep_shapes.EnvironmentGrant(many=True))
    def get(self, request: Request, organization: str, environment: str) -> Response:
        """The roles on exactly this environment. For who may list its members."""
        found = selectors.environment_for(self.actor, organization, environment, Permission.MEMBER_READ)
        return self.listed(members.members_of(actor=self.actor, environment=found), upkeep_shapes.EnvironmentGrant)

    @extend_schema(
        operation_id="environment_grants_create",
        request=upkeep_shapes.NewEnvironmentGrant,
        responses={201: upkeep_shapes.EnvironmentGrant},
    )
    def post(self, request: Request, organization: str, environment: str) -> Response:
        """Give a user or a team a role, also a team of another organization that the asker knows.

        What it is made of must be readable by that team, or the asker an owner of those channels (403 `channel_not_shareable`).
        """
        found = selectors.environment_for(self.actor, organization, environment, Permission.ENVIRONMENT_MEMBERS)
        made = members.give_role(actor=self.actor, environment=found, **self.given(upkeep_shapes.NewEnvironmentGrant))
        return self.shown(made, upkeep_shapes.EnvironmentGrant, 201)


class GrantView(HubView):
    pagination_class = None

    @extend_schema(operation_id="environment_grants_delete", responses={204: None})
    def delete(self, request: Request, organization: str, environment: str, number: int) -> Response:
        """Take a role on it away; everybody may give up their own."""
        found = selectors.environment_for(self.actor, organization, environment, Permission.ENVIRONMENT_READ)
        members.take_role(actor=self.actor, environment=found, number=number)
        return Response(status=204)


class _RetentionView(HubView):
    pagination_class: Any = None

    def retained(self, on: Organization | Environment) -> Response:
        dry_run = self.given(upkeep_shapes.RetentionRequest)["dry_run"]
        builds = (retention.plan if dry_run else retention.apply)(actor=self.actor, on=on)
        return self.shown({"dry_run": dry_run, "builds": builds}, upkeep_shapes.RetentionAnswer)


class OrganizationRetentionView(_RetentionView):
    @extend_schema(operation_id="organization_retention", request=upkeep_shapes.RetentionRequest, responses=upkeep_shapes.RetentionAnswer)
    def post(self, request: Request, organization: str) -> Response:
        """Let go of what the settings of its environments do not keep, or with `dry_run` (which is so unless it is false) say what."""
        return self.retained(selectors.organization_for(self.actor, organization, Permission.BUILD_DELETE))


class EnvironmentRetentionView(_RetentionView):
    @extend_schema(operation_id="environment_retention", request=upkeep_shapes.RetentionRequest, responses=upkeep_shapes.RetentionAnswer)
    def post(self, request: Request, organization: str, environment: str) -> Response:
        """The same for one environment."""
        return self.retained(selectors.environment_for(self.actor, organization, environment, Permission.BUILD_DELETE))


class ScheduleView(HubView):
    permission_classes = [Anybody]
    pagination_class: Any = None

    @extend_schema(operation_id="environment_schedule", responses=upkeep_shapes.ScheduleAnswer)
    def get(self, request: Request, organization: str, environment: str) -> Response:
        """When it is looked at next. It is set by the settings `rebuild`, `rebuild_cron` and `rebuild_time_zone`."""
        found = selectors.environment_for(self.actor, organization, environment, Permission.ENVIRONMENT_READ)
        return self.shown(schedules.schedule_of(found), upkeep_shapes.ScheduleAnswer)

    @extend_schema(operation_id="environment_refresh", request=None, responses={202: upkeep_shapes.RefreshAnswer})
    def post(self, request: Request, organization: str, environment: str) -> Response:
        """Look now, and build it if it would come out newer."""
        found = selectors.environment_for(self.actor, organization, environment, Permission.ENVIRONMENT_UPDATE)
        return self.shown(schedules.look_now(actor=self.actor, environment=found), upkeep_shapes.RefreshAnswer, 202)
