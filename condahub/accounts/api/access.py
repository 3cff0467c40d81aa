"""REST views of what people may do in an organization and why, now or at the end of a day; and of invitations to it."""

from __future__ import annotations

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from condahub.accounts import access, places, selectors, services
from condahub.accounts.access import Held
from condahub.accounts.api import lookups, shapes
from condahub.accounts.models import Invitation
from condahub.accounts.permissions import Permission
from condahub.api.views import HubView
from condahub.errors import NotFound


class AccessView(HubView):
    pagination_class = None

    @extend_schema(operation_id="access_list", parameters=[shapes.DayQuery], responses=shapes.PeopleAnswer)
    def get(self, request: Request, organization: str) -> Response:
        """Everybody who has, or at the end of a day had, a role on anything in the organization. For owners and auditors."""
        found = lookups.organization_for(self.actor, organization, Permission.ORGANIZATION_AUDIT)
        day = self.asked(shapes.DayQuery)["on"]
        roles = access.roles_of(self.actor, found, access.end_of(day))
        people = roles.people() | ({found.personal_of.username} if found.personal_of is not None else set())
        return self.shown({"on": day, "people": sorted(people)}, shapes.PeopleAnswer)


class AccessOfPersonView(HubView):
    pagination_class = None

    @extend_schema(operation_id="access_retrieve", parameters=[shapes.DayQuery], responses=shapes.AccessAnswer)
    def get(self, request: Request, organization: str, username: str) -> Response:
        """Each role of a person there, what it allows, and by what it is held; none for whom nobody gave one. For owners and auditors."""
        found = lookups.organization_for(self.actor, organization, Permission.ORGANIZATION_AUDIT)
        day = self.asked(shapes.DayQuery)["on"]
        moment = access.end_of(day)
        held = access.held_by(access.roles_of(self.actor, found, moment), found, username)
        is_active = bool(held) and username not in access.closed_accounts([username], moment)
        answer = {"person": username, "on": day, "is_active": is_active, "roles": _told(held)}
        return self.shown(answer, shapes.AccessAnswer)


class InvitationsView(HubView):
    queryset: QuerySet[Invitation] = Invitation.objects.none()
    ordering_fields = ["id", "created_at", "expires_at"]
    ordering = ["-id"]

    @extend_schema(operation_id="invitations_list", responses=shapes.InvitationAnswer(many=True))
    def get(self, request: Request, organization: str) -> Response:
        """Those that wait for an answer. For owners."""
        found = lookups.organization_for(self.actor, organization, Permission.ORGANIZATION_MEMBERS)
        return self.listed(selectors.invitations_of(self.actor, found), shapes.InvitationAnswer)

    @extend_schema(operation_id="invitations_create", request=shapes.NewInvitation, responses={201: shapes.InvitationAnswer})
    def post(self, request: Request, organization: str) -> Response:
        """Invite an address to a role or into a team: it is sent a link that works once, for two weeks. For owners."""
        found = lookups.organization_for(self.actor, organization, Permission.ORGANIZATION_MEMBERS)
        values = self.given(shapes.NewInvitation)
        team = lookups.team_of(self.actor, found, values["team"]) if values.get("team") else None
        made = services.invite(actor=self.actor, organization=found, email=values["email"], role=values.get("role", ""), team=team)
        return self.shown(made, shapes.InvitationAnswer, 201)


class InvitationView(HubView):
    @extend_schema(operation_id="invitations_delete", responses={204: None})
    def delete(self, request: Request, organization: str, number: int) -> Response:
        """Take an invitation back: its link opens nothing any more. For owners."""
        found = lookups.organization_for(self.actor, organization, Permission.ORGANIZATION_MEMBERS)
        sent = selectors.invitations_of(self.actor, found).filter(pk=number).first()
        if sent is None:
            raise NotFound("There is no such invitation.", code="no_such_invitation", hint="It was accepted, taken back or is too old.")
        services.revoke_invitation(actor=self.actor, invitation=sent)
        return Response(status=204)


def _told(held: list[Held]) -> list[dict[str, object]]:
    channels = places.names_of(places.CHANNEL, [one.channel_id for one in held])
    environments = places.names_of(places.ENVIRONMENT, [one.environment_id for one in held])
    return [
        {
            "role": one.role,
            "level": one.level.value,
            "channel": channels.get(one.channel_id, "") if one.channel_id is not None else None,
            "package": one.package_name or None,
            "environment": environments.get(one.environment_id, "") if one.environment_id is not None else None,
            "team": one.team or None,
            "source": one.source,
            "permissions": sorted(one.permissions),
        }
        for one in held
    ]
