"""REST views of environments, and of what holds a package."""

from __future__ import annotations

from typing import Any

import orjson
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from condahub.accounts.permissions import Permission
from condahub.api.permissions import Anybody
from condahub.api.views import HubView
from environments_app import selectors
from environments_app.api import shapes
from environments_app.api.filters import AnyEnvironmentFilter, EnvironmentFilter
from environments_app.models import BuildPackage, Environment
from environments_app.services import environments as services


class QuickJson(JSONRenderer):
    """The same JSON of a page in a tenth of the time; moments end in Z as everywhere."""

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        return b"" if data is None else orjson.dumps(data, option=orjson.OPT_UTC_Z)


class _EnvironmentsView(HubView):
    queryset: QuerySet[Environment] = Environment.objects.none()
    permission_classes = [Anybody]
    ordering_fields = ["name", "created_at"]
    ordering = ["organization__name", "name"]
    renderer_classes = [QuickJson]

    def environments_listed(self, rows: QuerySet[Environment]) -> Response:
        page: Any = self.paginate_queryset(self.filter_queryset(rows).values(*shapes.LISTED))
        builds = selectors.builds_seen(self.actor, (row["current_build_id"] for row in page), *selectors.SHORT_BUILD)
        counted = selectors.builds_counted(self.actor, (row["pk"] for row in page))
        signed_in = not self.actor.is_anonymous
        shown = [
            shapes.environment_listed(row, builds.get(row["current_build_id"]), counted.get(row["pk"], 0), signed_in=signed_in)
            for row in page
        ]
        return self.get_paginated_response(shown)

    def environment_shown(self, environment: Environment, status: int = 200) -> Response:
        selectors.attach_current(self.actor, [environment])
        return self.shown(environment, shapes.EnvironmentAnswer, status)


class AllEnvironmentsView(_EnvironmentsView):
    filterset_class = AnyEnvironmentFilter

    @extend_schema(operation_id="environments_list", responses=shapes.EnvironmentAnswer(many=True))
    def get(self, request: Request) -> Response:
        """The environments that the asker may see, of every organization; without a token the public ones."""
        return self.environments_listed(selectors.environments_listed(self.actor))


class HoldingView(HubView):
    """Packages in builds, whatever environment they are in."""

    queryset: QuerySet[BuildPackage] = BuildPackage.objects.none()
    permission_classes = [Anybody]
    filter_backends = []

    @extend_schema(operation_id="environments_holding", parameters=[shapes.HoldingQuery], responses=shapes.HoldingAnswer(many=True))
    def get(self, request: Request) -> Response:
        """Which environments hold a package: `?package=openssl <3.0.8` looks through the current builds that the asker may see."""
        query = shapes.HoldingQuery(
            data={key: request.query_params[key] for key in ("package", "all_builds") if key in request.query_params}
        )
        query.is_valid(raise_exception=True)
        found = selectors.holding(self.actor, query.validated_data["package"], all_builds=query.validated_data["all_builds"])
        order = ("build__environment__organization__name", "build__environment__name", "build__number", "platform", "pk")
        return self.listed(found.order_by(*order), shapes.HoldingAnswer)


class EnvironmentsView(_EnvironmentsView):
    filterset_class = EnvironmentFilter

    @extend_schema(operation_id="organization_environments_list", responses=shapes.EnvironmentAnswer(many=True))
    def get(self, request: Request, organization: str) -> Response:
        """The environments of one organization that the asker may see."""
        return self.environments_listed(selectors.environments_in(self.actor, organization))

    @extend_schema(
        operation_id="organization_environments_create", request=shapes.NewEnvironment, responses={201: shapes.EnvironmentAnswer}
    )
    def post(self, request: Request, organization: str) -> Response:
        """Make an environment without builds. One is made as well by the first specification that names it."""
        found = selectors.organization_for(self.actor, organization, Permission.ENVIRONMENT_CREATE)
        made = services.create_environment(actor=self.actor, organization=found, **self.given(shapes.NewEnvironment))
        return self.environment_shown(made, 201)


class EnvironmentView(_EnvironmentsView):
    pagination_class = None
    filter_backends = []

    @extend_schema(operation_id="organization_environments_retrieve", responses=shapes.EnvironmentAnswer)
    def get(self, request: Request, organization: str, environment: str) -> Response:
        """One environment."""
        found = selectors.environment_for(self.actor, organization, environment, Permission.ENVIRONMENT_READ)
        return self.environment_shown(found)

    @extend_schema(operation_id="organization_environments_update", request=shapes.EnvironmentChanges, responses=shapes.EnvironmentAnswer)
    def patch(self, request: Request, organization: str, environment: str) -> Response:
        """Describe it, change who may see it, set it aside or bring it back. Opening it needs the word of the owners of its channels."""
        found = selectors.environment_for(self.actor, organization, environment, Permission.ENVIRONMENT_UPDATE)
        changes = self.given(shapes.EnvironmentChanges)
        archived = changes.pop("archived", None)
        if changes:
            found = services.update_environment(actor=self.actor, environment=found, changes=changes)
        if archived is not None:
            verb = services.archive_environment if archived else services.unarchive_environment
            found = verb(actor=self.actor, environment=found)
        return self.environment_shown(found)

    @extend_schema(operation_id="organization_environments_delete", responses={204: None})
    def delete(self, request: Request, organization: str, environment: str) -> Response:
        """Delete it with all its builds; what runs is cancelled. Its name is free at once."""
        found = selectors.environment_for(self.actor, organization, environment, Permission.ENVIRONMENT_DELETE)
        services.delete_environment(actor=self.actor, environment=found)
        return Response(status=204)


class RollBackView(_EnvironmentsView):
    pagination_class = None
    filter_backends = []

    @extend_schema(operation_id="organization_environments_rollback", request=None, responses=shapes.EnvironmentAnswer)
    def post(self, request: Request, organization: str, environment: str) -> Response:
        """Make the completed build before the current one the current one."""
        found = selectors.environment_for(self.actor, organization, environment, Permission.ENVIRONMENT_UPDATE)
        return self.environment_shown(services.roll_back(actor=self.actor, environment=found))
