"""REST views of builds: asked for, looked at, compared, chosen, stopped, deleted."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from condahub.accounts.permissions import Permission
from condahub.api.permissions import Anybody
from condahub.api.views import HubView
from environments_app import diffs, selectors
from environments_app.api import shapes
from environments_app.api.filters import BuildFilter, PackageFilter
from environments_app.models import Build, BuildPackage
from environments_app.services import builds as services
from environments_app.services import environments
from environments_app.services.choices import Choices


class _BuildView(HubView):
    permission_classes = [Anybody]
    pagination_class: Any = None

    def found(self, words: dict[str, Any], permission: Permission = Permission.BUILD_READ) -> Build:
        """The build that the path names, if the actor has this right there and may read all that it is made of."""
        environment = selectors.environment_for(self.actor, words["organization"], words["environment"], permission)
        return selectors.build_for(self.actor, environment, words["number"])


class BuildsView(HubView):
    queryset: QuerySet[Build] = Build.objects.none()
    permission_classes = [Anybody]
    filterset_class = BuildFilter
    ordering_fields = ["number", "created_at", "size"]
    ordering = ["-number"]

    @extend_schema(operation_id="builds_list", responses=shapes.BuildAnswer(many=True))
    def get(self, request: Request, organization: str, environment: str) -> Response:
        """The builds of an environment that the asker may see, the newest first."""
        found = selectors.environment_for(self.actor, organization, environment, Permission.BUILD_READ)
        return self.listed(selectors.builds_of(self.actor, found), shapes.BuildAnswer)

    @extend_schema(operation_id="builds_create", request=shapes.NewBuild, responses={201: shapes.BuildDetail})
    def post(self, request: Request, organization: str, environment: str) -> Response:
        """Have a specification built as the next build; the environment is made when it is not there."""
        existing = selectors.to_build_in(self.actor, organization, environment)
        given = self.given(shapes.NewBuild)
        text = given.pop("specification")
        build = services.submit_specification(
            actor=self.actor, organization=existing, text=text, name=environment, choices=Choices(**given)
        )
        return self.shown(selectors.build_for(self.actor, build.environment, build.number), shapes.BuildDetail, 201)


class BuildView(_BuildView):
    @extend_schema(operation_id="builds_retrieve", responses=shapes.BuildDetail)
    def get(self, request: Request, **words: Any) -> Response:
        """One build with its specification; where it failed, why."""
        return self.shown(self.found(words), shapes.BuildDetail)

    @extend_schema(operation_id="builds_update", request=shapes.BuildChanges, responses=shapes.BuildDetail)
    def patch(self, request: Request, **words: Any) -> Response:
        """Pin it, so that retention keeps it, or let it go."""
        build = self.found(words, Permission.ENVIRONMENT_UPDATE)
        return self.shown(services.pin_build(actor=self.actor, build=build, **self.given(shapes.BuildChanges)), shapes.BuildDetail)

    @extend_schema(operation_id="builds_delete", responses={204: None})
    def delete(self, request: Request, **words: Any) -> Response:
        """Delete a build that ended; 409 for the current and for a pinned one."""
        services.delete_build(actor=self.actor, build=self.found(words, Permission.BUILD_DELETE))
        return Response(status=204)


class CancelView(_BuildView):
    @extend_schema(operation_id="builds_cancel", request=None, responses=shapes.BuildDetail)
    def post(self, request: Request, **words: Any) -> Response:
        """Stop it, in whatever phase. One that runs ends within seconds; one that has ended stays as it is."""
        build = self.found(words, Permission.BUILD_CANCEL)
        services.cancel_build(actor=self.actor, build=build)
        return self.shown(selectors.build_for(self.actor, build.environment, build.number), shapes.BuildDetail)


class ActivateView(_BuildView):
    @extend_schema(operation_id="builds_activate", request=None, responses=shapes.ActivatedAnswer)
    def post(self, request: Request, **words: Any) -> Response:
        """Make it the build that everybody gets; 409 unless it completed."""
        build = self.found(words, Permission.ENVIRONMENT_UPDATE)
        environment = environments.activate_build(actor=self.actor, environment=build.environment, build=build)
        return self.shown(environment, shapes.ActivatedAnswer)


class PackagesView(HubView):
    queryset: QuerySet[BuildPackage] = BuildPackage.objects.none()
    permission_classes = [Anybody]
    filterset_class = PackageFilter
    ordering_fields = ["name", "size"]
    ordering = ["name", "platform", "pk"]

    @extend_schema(operation_id="builds_packages", responses=shapes.BuildPackageAnswer(many=True))
    def get(self, request: Request, organization: str, environment: str, number: int) -> Response:
        """What a build is made of, on each of its platforms."""
        found = selectors.environment_for(self.actor, organization, environment, Permission.BUILD_READ)
        build = selectors.build_for(self.actor, found, number)
        return self.listed(selectors.packages_of(build), shapes.BuildPackageAnswer)


class DiffView(_BuildView):
    @extend_schema(operation_id="builds_diff", parameters=[shapes.BuildDiffQuery], responses=shapes.BuildDiffAnswer)
    def get(self, request: Request, organization: str, environment: str) -> Response:
        """What differs between two builds of an environment: added, removed, upgraded, downgraded, rebuilt, with sizes."""
        found = selectors.environment_for(self.actor, organization, environment, Permission.BUILD_READ)
        numbers = self.asked(shapes.BuildDiffQuery)
        before, after = (selectors.build_for(self.actor, found, numbers[key]) for key in ("before", "after"))
        return self.shown({**numbers, "changes": diffs.diff(before, after)}, shapes.BuildDiffAnswer)
