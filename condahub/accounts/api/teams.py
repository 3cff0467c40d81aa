"""REST views of an organization's teams."""

from __future__ import annotations

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from condahub.accounts import selectors, services
from condahub.accounts.api import lookups, shapes
from condahub.accounts.models import Team
from condahub.accounts.permissions import Permission
from condahub.api.probing import ProbeThrottle
from condahub.api.views import HubView


class TeamsView(HubView):
    queryset: QuerySet[Team] = Team.objects.none()
    throttle_classes = [ProbeThrottle]
    ordering_fields = ["slug", "created_at"]
    ordering = ["slug"]

    @extend_schema(operation_id="teams_list", responses=shapes.TeamAnswer(many=True))
    def get(self, request: Request, organization: str) -> Response:
        """The teams of an organization. For maintainers and owners."""
        found = lookups.organization_for(self.actor, organization, Permission.MEMBER_READ)
        return self.listed(selectors.teams_of(self.actor, found), shapes.TeamAnswer)

    @extend_schema(operation_id="teams_create", request=shapes.NewTeam, responses={201: shapes.TeamDetail})
    def post(self, request: Request, organization: str) -> Response:
        """Make a team. For owners; naming a directory's group is for staff."""
        found = lookups.organization_for(self.actor, organization, Permission.ORGANIZATION_MEMBERS)
        made = services.create_team(actor=self.actor, organization=found, **self.given(shapes.NewTeam))
        return self.shown(made, shapes.TeamDetail, 201)


class TeamView(HubView):
    @extend_schema(operation_id="teams_retrieve", responses=shapes.TeamDetail)
    def get(self, request: Request, organization: str, team: str) -> Response:
        """One team and its members."""
        found = lookups.organization_for(self.actor, organization, Permission.MEMBER_READ)
        return self.shown(lookups.team_of(self.actor, found, team), shapes.TeamDetail)

    @extend_schema(operation_id="teams_update", request=shapes.TeamChanges, responses=shapes.TeamDetail)
    def patch(self, request: Request, organization: str, team: str) -> Response:
        """Change a team's title, or the directory's group that feeds it. For owners."""
        found = lookups.organization_for(self.actor, organization, Permission.ORGANIZATION_MEMBERS)
        row = lookups.team_of(self.actor, found, team)
        return self.shown(services.update_team(actor=self.actor, team=row, **self.given(shapes.TeamChanges)), shapes.TeamDetail)

    @extend_schema(operation_id="teams_delete", responses={204: None})
    def delete(self, request: Request, organization: str, team: str) -> Response:
        """The team goes with its grants; its people stay. For owners."""
        found = lookups.organization_for(self.actor, organization, Permission.ORGANIZATION_MEMBERS)
        services.delete_team(actor=self.actor, team=lookups.team_of(self.actor, found, team))
        return Response(status=204)


class TeamMemberView(HubView):
    @extend_schema(operation_id="team_members_put", request=None, responses=shapes.TeamDetail)
    def put(self, request: Request, organization: str, team: str, username: str) -> Response:
        """Take a user into a team. For owners."""
        found = lookups.organization_for(self.actor, organization, Permission.ORGANIZATION_MEMBERS)
        row = lookups.team_of(self.actor, found, team)
        services.add_member(actor=self.actor, team=row, user=selectors.user_for_grant(self.actor, username, found))
        return self.shown(row, shapes.TeamDetail)

    @extend_schema(operation_id="team_members_delete", responses={204: None})
    def delete(self, request: Request, organization: str, team: str, username: str) -> Response:
        """Take a user out of a team. For owners."""
        found = lookups.organization_for(self.actor, organization, Permission.ORGANIZATION_MEMBERS)
        row = lookups.team_of(self.actor, found, team)
        services.remove_member(actor=self.actor, team=row, user=lookups.member_of(self.actor, found, username))
        return Response(status=204)
