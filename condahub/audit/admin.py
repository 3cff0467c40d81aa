"""The admin's list of audit events, to look at and to take away as a file."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.http import HttpRequest
from unfold.contrib.filters.admin import RangeDateTimeFilter

from condahub.adminsite.base import LookOnly
from condahub.audit import chain
from condahub.audit.models import AuditEvent


@admin.register(AuditEvent)
class AuditEventAdmin(LookOnly):
    list_display = ["at", "actor_label", "action", "target_type", "target", "address", "token_prefix", "sequence", "links"]
    list_filter = ["target_type", ("at", RangeDateTimeFilter)]
    list_filter_submit = True
    search_fields = ["=actor_label", "=action", "target", "=address", "=token_prefix", "=request_id"]
    search_help_text = "An actor, action, address, token prefix or request id as it is, or part of a target"
    date_hierarchy = "at"
    list_before_template = "admin/audit_released.html"
    export_fields = [
        *("at", "actor_label", "actor_id", "token_prefix", "action", "target_type", "target", "organization_id"),
        *("address", "request_id", "details", "sequence", "previous_hash", "hash"),
    ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Above the list: from when on it is whole, and where the rest is."""
        told = chain.last_release()
        files = AuditEvent.objects.filter(action=chain.RELEASE_ACTION).count() if told else 0
        context = {"released": told, "released_files": files, "releases": f"?{urlencode({'q': chain.RELEASE_ACTION})}"}
        return super().changelist_view(request, {**context, **(extra_context or {})})

    def audit_target(self, obj: AuditEvent) -> str:
        return obj.target

    def audit_query(self, obj: AuditEvent) -> dict[str, Any]:
        """What else was done to the same thing."""
        return {"target_type__exact": obj.target_type, "target": obj.target} if obj.target else {}

    def jobs_query(self, obj: AuditEvent) -> dict[str, Any]:
        number = obj.details.get("job") if isinstance(obj.details, dict) else None
        return {"id": number} if isinstance(number, int) else {}
