"""REST views of the audit: what was done, by whom, and whether the record is whole."""

from __future__ import annotations

import django_filters
from django.db.models import QuerySet
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from condahub.accounts.models import Organization
from condahub.accounts.permissions import HUB, Permission
from condahub.accounts.policy import can, require
from condahub.api import converters  # noqa: F401 - registers `text`
from condahub.api.fields import Answer
from condahub.api.views import HubView
from condahub.audit import chain
from condahub.audit.models import AuditEvent
from condahub.errors import Forbidden


class AuditFilter(django_filters.FilterSet):  # type: ignore[misc]
    action = django_filters.CharFilter(label="Such as channel.create.")
    actor = django_filters.CharFilter(field_name="actor_label", label="Who did it.")
    target_type = django_filters.CharFilter(label="The noun of what it was done to, such as channel.")
    target = django_filters.CharFilter(label="The name of what it was done to.")
    address = django_filters.CharFilter(label="Where the request came from.")
    since = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte", label="From this time on (RFC 3339).")
    until = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="lt", label="Before this time.")


class EventAnswer(Answer):
    id = serializers.IntegerField()
    at = serializers.DateTimeField()
    actor = serializers.CharField(source="actor_label")
    token_prefix = serializers.CharField(allow_blank=True)
    action = serializers.CharField()
    target_type = serializers.CharField()
    target = serializers.CharField(allow_blank=True)
    organization_id = serializers.IntegerField(allow_null=True)
    address = serializers.CharField(allow_blank=True)
    request_id = serializers.CharField(allow_blank=True)
    details = serializers.DictField()
    sequence = serializers.IntegerField(allow_null=True, help_text="Its number in the sealed chain; null until it is sealed.")
    hash = serializers.CharField(allow_blank=True)


class ReportAnswer(Answer):
    ok = serializers.BooleanField()
    count = serializers.IntegerField(help_text="Events of the chain that are right.")
    unsealed = serializers.IntegerField(help_text="Events so new that they are not sealed yet.")
    head = serializers.CharField(allow_blank=True, help_text="The last hash: worth noting outside of this machine.")
    first_bad = serializers.IntegerField(allow_null=True)
    problem = serializers.CharField(allow_blank=True)
    released = serializers.IntegerField(help_text="The events up to this number were let go into files; 0 for none.")


class _EventsListing(HubView):
    queryset: QuerySet[AuditEvent] = AuditEvent.objects.none()
    filterset_class = AuditFilter
    ordering_fields = ["id", "at"]
    ordering = ["-id"]


class AuditView(_EventsListing):
    @extend_schema(operation_id="audit_list", responses=EventAnswer(many=True))
    def get(self, request: Request) -> Response:
        """Everything that was done on this hub, the newest first. For staff and auditors."""
        require(self.actor, Permission.AUDIT_READ, HUB)
        return self.listed(AuditEvent.objects.all(), EventAnswer)


class OrganizationAuditView(_EventsListing):
    @extend_schema(operation_id="organizations_audit_list", responses=EventAnswer(many=True))
    def get(self, request: Request, organization: str) -> Response:
        """Everything that was done in an organization, the newest first. For its owners."""
        found = Organization.objects.filter(name=organization, deleted_at__isnull=True).first()
        if found is None or not can(self.actor, Permission.ORGANIZATION_AUDIT, found):
            raise Forbidden
        return self.listed(AuditEvent.objects.filter(organization_id=found.pk), EventAnswer)


class VerifyView(HubView):
    pagination_class = None

    @extend_schema(operation_id="audit_verify", responses=ReportAnswer)
    def get(self, request: Request) -> Response:
        """Walk the whole chain of sealed events and tell whether it is right. For staff and auditors."""
        require(self.actor, Permission.AUDIT_READ, HUB)
        return self.shown(chain.verify(), ReportAnswer)


urlpatterns = [
    path("audit", AuditView.as_view()),
    path("audit/verify", VerifyView.as_view()),
    path("organizations/<text:organization>/audit", OrganizationAuditView.as_view()),
]
