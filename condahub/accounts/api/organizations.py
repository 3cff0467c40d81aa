"""REST views of organizations and of who is in them."""

from __future__ import annotations

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from condahub.accounts import selectors, services
from condahub.accounts.api import lookups, shapes
from condahub.accounts.api.filters import OrganizationFilter
from condahub.accounts.models import Organization, User
from condahub.accounts.permissions import HUB, Permission
from condahub.accounts.policy import require
from condahub.api.probing import ProbeThrottle
from condahub.api.views import HubView
from condahub.errors import NotFound


class OrganizationsView(HubView):
    queryset: QuerySet[Organization] = Organization.objects.none()
    throttle_classes = [ProbeThrottle]
    filterset_class = OrganizationFilter
    ordering_fields = ["name", "created_at"]
    ordering = ["name"]

    @extend_schema(operation_id="organizations_list", responses=shapes.OrganizationAnswer(many=True))
    def get(self, request: Request) -> Response:
        """The organizations that the asker has to do with; staff see all."""
        return self.listed(selectors.visible_organizations(self.actor), shapes.OrganizationAnswer)

    @extend_schema(operation_id="organizations_create", request=shapes.NewOrganization, responses={201: shapes.OrganizationDetail})
    def post(self, request: Request) -> Response:
        """Make an organization. For staff, and for whom the operator allows it."""
        require(self.actor, Permission.ORGANIZATION_CREATE, HUB)
        values = self.given(shapes.NewOrganization)
        owner = self.owner(values.pop("owner", ""))
        return self.shown(services.create_organization(actor=self.actor, owner=owner, **values), shapes.OrganizationDetail, 201)

    def owner(self, username: str) -> User | None:
        """Somebody who is not staff names himself only: else the answer would tell which names there are."""
        if not username:
            return None
        return lookups.user_for(self.actor, username)


class OrganizationView(HubView):
    @extend_schema(operation_id="organizations_retrieve", responses=shapes.OrganizationDetail)
    def get(self, request: Request, organization: str) -> Response:
        """One organization, with what it holds."""
        return self.shown(lookups.organization_for(self.actor, organization), shapes.OrganizationDetail)

    @extend_schema(operation_id="organizations_update", request=shapes.OrganizationChanges, responses=shapes.OrganizationDetail)
    def patch(self, request: Request, organization: str) -> Response:
        """Change title and description. For owners."""
        found = lookups.organization_for(self.actor, organization, Permission.ORGANIZATION_UPDATE)
        changed = services.update_organization(actor=self.actor, organization=found, **self.given(shapes.OrganizationChanges))
        return self.shown(changed, shapes.OrganizationDetail)

    @extend_schema(operation_id="organizations_delete", responses={204: None})
    def delete(self, request: Request, organization: str) -> Response:
        """Close an organization; staff can restore it until its grace period ends. For owners."""
        found = lookups.organization_for(self.actor, organization, Permission.ORGANIZATION_DELETE)
        services.delete_organization(actor=self.actor, organization=found)
        return Response(status=204)


class OrganizationRestoreView(HubView):
    @extend_schema(operation_id="organizations_restore", request=None, responses=shapes.OrganizationDetail)
    def post(self, request: Request, organization: str) -> Response:
        """Open a deleted organization again, with the grants that it had. For staff."""
        found = lookups.deleted_organization(self.actor, organization)
        return self.shown(services.restore_organization(actor=self.actor, organization=found), shapes.OrganizationDetail)


class QuotaView(HubView):
    @extend_schema(operation_id="organizations_quota", request=shapes.Quota, responses=shapes.OrganizationDetail)
    def put(self, request: Request, organization: str) -> Response:
        """Limit the logical bytes that an organization may hold; what it holds already stays. For staff."""
        found = lookups.organization_for(self.actor, organization, Permission.ORGANIZATION_QUOTA)
        changed = services.set_quota(actor=self.actor, organization=found, **self.given(shapes.Quota))
        return self.shown(changed, shapes.OrganizationDetail)


class MembersView(HubView):
    # Members are gathered from grants, teams and directories: there are no columns to filter or order by.
    queryset: QuerySet[User] = User.objects.none()
    filter_backends = []

    @extend_schema(operation_id="members_list", responses=shapes.MemberAnswer(many=True))
    def get(self, request: Request, organization: str) -> Response:
        """Everybody with a role on the organization, by user name, and why. For maintainers and owners."""
        found = lookups.organization_for(self.actor, organization, Permission.MEMBER_READ)
        page = self.paginate_queryset(selectors.members_of(self.actor, found))  # type: ignore[arg-type]
        return self.get_paginated_response(shapes.MemberAnswer(page, many=True).data)


class MemberView(HubView):
    @extend_schema(operation_id="members_put", request=shapes.Membership, responses=shapes.MemberAnswer)
    def put(self, request: Request, organization: str, username: str) -> Response:
        """Give a user a role on the organization, in place of the one it had. For owners."""
        found = lookups.organization_for(self.actor, organization, Permission.ORGANIZATION_MEMBERS)
        role = self.given(shapes.Membership)["role"]
        user = selectors.user_for_grant(self.actor, username, found)
        services.grant(actor=self.actor, on=found, role=role, user=user)
        member = next((one for one in selectors.members_of(self.actor, found) if one.user.pk == user.pk), None)
        if member is None:
            raise NotFound("Somebody took the role away at the same moment.")
        return self.shown(member, shapes.MemberAnswer)

    @extend_schema(operation_id="members_delete", responses={204: None})
    def delete(self, request: Request, organization: str, username: str) -> Response:
        """Take a user's role on the organization away; everybody may give up their own. The last owner stays (409)."""
        found = lookups.organization_for(self.actor, organization)
        user = lookups.member_of(self.actor, found, username)
        services.revoke_grant(actor=self.actor, grant=lookups.membership_of(found, user))
        return Response(status=204)
